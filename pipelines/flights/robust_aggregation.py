"""What one silo with garbage for labels does to all, by the aggregation of the updates.

```
python -m pipelines.flights.robust_aggregation
```

The largest airline's training labels are flipped; test labels are as they were. The trainer's check of the silos finds
nothing, because labels are 0 and 1 as they should be. Compare `Mean` with the line `Examples` of `unequal_silos`, the
same training on true labels, and then the other lines with `Mean`.
"""

from __future__ import annotations

import csv
import pathlib
import shutil
from typing import Any

from pipelines.flights import comparison, data
from tff_runtime.settings import aggregations

NAME = "robust_aggregation"
GARBAGE_SILO = "UA"
VARIANTS: dict[str, dict[str, Any]] = {
    "Mean": {},
    "Median": {"aggregation": aggregations.Median()},
    "TrimmedMean": {"aggregation": aggregations.TrimmedMean(fraction=0.1)},
    "GeometricMedian": {"aggregation": aggregations.GeometricMedian()},
    "MultiKrum": {"aggregation": aggregations.MultiKrum(byzantine=1)},
    "Clipping": {"aggregation": aggregations.Clipping(quantile=0.5, initial_norm=0.1)},
}


def flip_labels(flights: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    """Writes the flights again, with the training labels of one airline flipped.

    Args:
        flights: A folder that `data.prepare` wrote.
        output: Takes the folder `data`; one that is there is replaced.

    Returns:
        The new folder.
    """
    changed = output / "data"
    shutil.rmtree(changed, ignore_errors=True)
    shutil.copytree(flights, changed)
    with (
        (flights / "train" / "flights.csv").open(encoding="utf-8", newline="") as source,
        (changed / "train" / "flights.csv").open("w", encoding="utf-8", newline="") as target,
    ):
        rows = csv.DictReader(source)
        writer = csv.DictWriter(target, data.COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if row[data.SILO_KEY] == GARBAGE_SILO:
                row[data.LABEL_KEY] = str(1 - int(row[data.LABEL_KEY]))
            writer.writerow(row)
    return changed


if __name__ == "__main__":
    comparison.main(NAME, __doc__, VARIANTS, change=flip_labels)
