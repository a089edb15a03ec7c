"""Under which name each silo appears: its own, or that of the pool of small silos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfx_federated.fairness_evaluator import example_batches
from tfx_federated.statistics import arrays, privacy_minimum

POOL = "(silos below the privacy minimum)"


@dataclass(frozen=True)
class PublishedSilos:
    """The silos of an evaluation as they are published.

    Attributes:
        names: Published names, sorted; the pool, if there is one, is the last.
        pooled: Number of silos in the pool.
        silos: All silos, sorted.
        groups: Position in `names` of each of `silos`, [silos].
        are_integers: Whether the silos are integers in the rows, and so in TFMA's slice keys.
    """

    names: tuple[str, ...]
    pooled: int
    silos: tuple[str, ...]
    groups: arrays.IntVector
    are_integers: bool

    def groups_of_rows(self, batch: pa.RecordBatch, silo_key: str) -> arrays.IntVector:
        """Returns the position in `names` of each row's silo, [rows]; -1 for a row without a silo.

        Args:
            batch: Rows that `checked_examples.check_rows` has passed.
            silo_key: Feature that holds the silo.
        """
        silos = example_batches.values_of_rows(batch, silo_key).cast(pa.string())
        places = pc.index_in(silos, pa.array(self.silos, pa.string()))
        groups = pc.take(pa.array(self.groups), places)
        return pc.fill_null(groups, -1).to_numpy(zero_copy_only=False)

    def rename(self, batch: pa.RecordBatch, silo_key: str) -> pa.RecordBatch:
        """Returns the rows with their silos' published names, for slices that TFMA makes itself."""
        if not self.pooled:
            return batch
        groups = self.groups_of_rows(batch, silo_key)
        names = pa.array([[self.names[group].encode()] if group >= 0 else None for group in groups.tolist()])
        return batch.set_column(batch.schema.get_field_index(silo_key), silo_key, names)

    def slice_value(self, group: int) -> str | int:
        """Returns the value of the silo key in TFMA's slice keys."""
        name = self.names[group]
        return int(name) if self.are_integers and name != POOL else name


def publish(rows: Mapping[str, int], are_integers: bool, minimum_rows: int | None) -> PublishedSilos:
    """Decides which silos appear by name.

    Args:
        rows: Rows by silo, sorted by silo.
        are_integers: Whether the silos are integers in the rows.
        minimum_rows: The privacy minimum: silos with fewer rows are pooled. None publishes every silo.

    Raises:
        ValueError: A silo is called as the pool would be, or all silos together have too few rows to publish anything.
    """
    silos = tuple(rows)
    if minimum_rows is None:
        return PublishedSilos(silos, 0, silos, np.arange(len(silos)), are_integers)
    if POOL in rows:
        raise ValueError(f"a silo is called {POOL!r}, as the pool of small silos is; rename it")
    publication = privacy_minimum.publish(list(rows.values()), minimum_rows)
    if not publication.enough_rows:
        raise ValueError(
            f"all silos together have {sum(rows.values())} rows, fewer than the privacy minimum of {minimum_rows}: "
            "nothing can be published; evaluate more rows"
        )
    pooled = int(publication.pooled.sum())
    named = tuple(silo for silo, is_pooled in zip(silos, publication.pooled, strict=True) if not is_pooled)
    names = (*named, POOL) if pooled else named
    return PublishedSilos(names, pooled, silos, publication.group, are_integers)
