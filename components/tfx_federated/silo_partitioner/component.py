"""SiloPartitioner component."""

from __future__ import annotations

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.dsl.placeholder import placeholder
from tfx.orchestration import data_types
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from tfx_federated import artifacts
from tfx_federated.silo_partitioner import executor, parameters


class SiloPartitionerSpec(types.ComponentSpec):
    """Spec of SiloPartitioner."""

    PARAMETERS = {
        "silo_key": ExecutionParameter(type=str),
        "splits": ExecutionParameter(type=str, optional=True),
        "minimum_rows": ExecutionParameter(type=int),
        "shards": ExecutionParameter(type=int),
        "rows_without_silo": ExecutionParameter(type=str),
        "maximum_malformed_share": ExecutionParameter(type=float),
    }
    INPUTS = {executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {executor.SILO_EXAMPLES_KEY: ChannelParameter(type=artifacts.SiloExamples)}


class SiloPartitioner(base_beam_component.BaseBeamComponent):
    """A TFX component that groups examples by silo.

    It reads tf.Examples, raw or transformed, and writes them to a fixed number of shards sorted by silo, with an index.
    Rows that cannot be used are put aside and counted, never dropped silently.

    ## Example
    ```
      silo_partitioner = SiloPartitioner(
          examples=transform.outputs['transformed_examples'],
          silo_key='carrier',
          minimum_rows=100)
    ```

    Component `outputs` contains:

     - `silo_examples`: Channel of type `tfx_federated.SiloExamples`, read by `tfx_federated.silo_examples`.
    """

    SPEC_CLASS = SiloPartitionerSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        silo_key: str | data_types.RuntimeParameter,
        splits: list[str] | data_types.RuntimeParameter | None = None,
        minimum_rows: int | data_types.RuntimeParameter = 1,
        shards: int | data_types.RuntimeParameter = 8,
        rows_without_silo: str | data_types.RuntimeParameter = "error",
        maximum_malformed_share: float | data_types.RuntimeParameter = 0.0,
    ) -> None:
        """Constructs a SiloPartitioner.

        Args:
            examples: A channel of type `standard_artifacts.Examples` with tf.Example payload; one or several artifacts.
            silo_key: Name of the feature that holds the silo: one string (UTF-8) or one integer a row.
            splits: Names of the splits to partition; None for all. As a `RuntimeParameter`, of type `str`, a JSON list.
            minimum_rows: Silos with fewer rows are listed as skipped and not written, in any split. Rows are counted in
                split `train` if that is among the splits, so that every silo written can train, else over all splits.
                At least 1.
            shards: Files per split, at least 1. A worker holds one shard's rows, of all splits, in memory: take the
                size of the rows divided by the memory that a worker has to spare.
            rows_without_silo: What to do with rows whose silo is missing or empty: 'error' fails the run, 'skip' puts
                them aside, 'assign:<silo name>' treats them as rows of that silo.
            maximum_malformed_share: The share of all rows, in [0, 1], that may be malformed: not a tf.Example, a silo
                key that is not one string or integer, NaN or infinity in a float feature. They are put aside; if there
                are more, the run fails.

        Raises:
            ValueError: A parameter is out of its range.
        """
        properties: dict[str, Any] = {
            "silo_key": silo_key,
            "splits": splits,
            "minimum_rows": minimum_rows,
            "shards": shards,
            "rows_without_silo": rows_without_silo,
            "maximum_malformed_share": maximum_malformed_share,
        }
        for name, value in properties.items():
            if not _is_known_later(value):
                parameters.CHECK_OF_PARAMETER[name](value)
        if splits is not None and not _is_known_later(splits):
            properties["splits"] = json.dumps(splits)
        if not _is_known_later(maximum_malformed_share):
            properties["maximum_malformed_share"] = float(maximum_malformed_share)
        spec = SiloPartitionerSpec(
            examples=examples, silo_examples=types.Channel(type=artifacts.SiloExamples), **properties
        )
        super().__init__(spec=spec)


def _is_known_later(value: Any) -> bool:
    return isinstance(value, (data_types.RuntimeParameter, placeholder.Placeholder))
