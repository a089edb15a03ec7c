"""What a model of its own does for each airline.

```
python -m pipelines.flights.personalization
```

Each line but the first is about the silos' own models. Look at `worst silo`: an airline alone has too few rows, and
what its model has from the others makes up for that. `FineTuning` chooses each silo's epoch by the loss on the rows of
the table, which flatters it a little.
"""

from __future__ import annotations

from typing import Any

from pipelines.flights import comparison
from tff_runtime.settings import personalizations

NAME = "personalization"
VARIANTS: dict[str, dict[str, Any]] = {
    "OneForAll": {},
    "Alone": {"local_models": True},
    "FineTuning": {"personalization": personalizations.FineTuning()},
    "Ditto": {"personalization": personalizations.Ditto(strength=1.0)},
    "LocalLayers": {"personalization": personalizations.LocalLayers(layers=("delay",))},
    "MeanRegularized": {"personalization": personalizations.MeanRegularized(strength=0.1)},
}

if __name__ == "__main__":
    comparison.main(NAME, __doc__, VARIANTS)
