"""What each way to weigh unequal silos does to the small ones.

```
python -m pipelines.flights.unequal_silos
```

Look at `small silos` and `worst silo` against `by rows`: what a variant gives to the small airlines, and what it takes
from the large ones.
"""

from __future__ import annotations

from typing import Any

from pipelines.flights import comparison
from tff_runtime.settings import aggregations, algorithms

NAME = "unequal_silos"
VARIANTS: dict[str, dict[str, Any]] = {
    "Examples": {},
    "SquareRoot": {"silo_weighting": "square_root"},
    "Uniform": {"silo_weighting": "uniform"},
    "AtMostATenth": {"maximum_silo_share": 0.1},
    "FedProx": {"algorithm": algorithms.FedProx(strength=0.1)},
    "QFedAvg": {"algorithm": algorithms.QFedAvg(q=1.0)},
    "Agnostic": {"algorithm": algorithms.AgnosticFederated(mixture_learning_rate=0.1)},
    "Tilted": {"algorithm": algorithms.TiltedFederated(tilt=5.0)},
    "Median": {"aggregation": aggregations.Median()},
}

if __name__ == "__main__":
    comparison.main(NAME, __doc__, VARIANTS)
