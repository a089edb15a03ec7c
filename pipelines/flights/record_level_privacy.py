"""What the protection of each flight by differential privacy costs.

```
python -m pipelines.flights.record_level_privacy
```

Look at `loss by rows` beside the AUC: by the loss, clipping costs more than the noise does. Too small a `clip_norm`
gives every flight the same pull, so that the probabilities are wrong while their order, and with it the AUC, stays; too
large a one means more noise. `epsilon` is what was spent, by the ledger of the run. The noise comes from the operating
system: no two runs print the same numbers.
"""

from __future__ import annotations

from typing import Any

from pipelines.flights import comparison
from tff_runtime.settings import personalizations, privacy

NAME = "record_level_privacy"
# Below 1 / 4,883, the rows of the largest airline in the sample.
DELTA = 1e-5
CLIP_NORM = 3.0
VARIANTS: dict[str, dict[str, Any]] = {
    "NoPrivacy": {},
    "Epsilon8": {"privacy": privacy.RecordLevel(epsilon=8.0, delta=DELTA, clip_norm=CLIP_NORM)},
    "Epsilon1": {"privacy": privacy.RecordLevel(epsilon=1.0, delta=DELTA, clip_norm=CLIP_NORM)},
    "Epsilon1SmallClipNorm": {"privacy": privacy.RecordLevel(epsilon=1.0, delta=DELTA, clip_norm=1.0)},
    "Epsilon1OwnModels": {
        "privacy": privacy.RecordLevel(epsilon=1.0, delta=DELTA, clip_norm=CLIP_NORM),
        "personalization": personalizations.MeanRegularized(strength=0.1),
    },
}

if __name__ == "__main__":
    comparison.main(NAME, __doc__, VARIANTS)
