"""The weighted mean of the silos' updates, with other weights than their numbers of rows."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime import job as job_lib
from tff_runtime import silo_weights


class ReweightedMean(tff.aggregators.WeightedAggregationFactory):
    """TFF's weighted mean, of weights that follow from the rows which a silo trained on.

    A silo that TFF gives weight 0, because its update is not finite, keeps it.
    """

    def __init__(self, job: job_lib.TrainingJob) -> None:
        """Takes the job's weighting and the sizes of its training silos, which the cap depends on."""
        self._weighting = job.silo_weighting
        # A silo's rows count once for each local epoch.
        rows = [silo.count * job.local_epochs for silo in job.silos[job.train_split]]
        self._largest = max(silo_weights.weights(rows, job.silo_weighting, job.maximum_silo_share))

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        """Returns the aggregation process of TFF's mean behind the change of weights."""
        mean = tff.aggregators.MeanFactory().create(value_type, weight_type)

        @tff.tensorflow.computation(weight_type)
        def weight_of_rows(rows: Any) -> Any:
            weight = tf.cast(rows, tf.float32)
            if self._weighting == silo_weights.UNIFORM:
                weight = tf.sign(weight)
            elif self._weighting == silo_weights.SQUARE_ROOT:
                weight = tf.sqrt(weight)
            return tf.minimum(weight, self._largest)

        @tff.federated_computation(
            mean.next.type_signature.parameter[0],
            tff.FederatedType(value_type, tff.CLIENTS),
            tff.FederatedType(weight_type, tff.CLIENTS),
        )
        def next_fn(state: Any, values: Any, rows: Any) -> Any:
            return mean.next(state, values, tff.federated_map(weight_of_rows, rows))

        return tff.templates.AggregationProcess(mean.initialize, next_fn)
