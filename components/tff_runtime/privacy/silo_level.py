"""Silo-level privacy: clipped updates, and noise on their sum (DP-FedAvg: McMahan et al., arXiv 1710.06963)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from tff_runtime.settings import privacy as privacy_settings


class SiloLevelFactory(tff.aggregators.WeightedAggregationFactory):
    """TFF's private mean, in which every silo counts the same.

    The sum of the clipped updates is divided by the planned number of silos, whoever takes part: how many updates were
    accepted is not public. A silo of weight 0, or with an update that is not finite, has a zero update.
    """

    def __init__(self, privacy: privacy_settings.SiloLevel, silos_per_round: int, noise_multiplier: float) -> None:
        """Takes what is fixed for the training.

        Args:
            privacy: Clipping norm, and whether it adapts.
            silos_per_round: Silos that are planned for a round, at least 1.
            noise_multiplier: The noise of the whole round, of which an adaptive norm takes a part, positive.
        """
        factory = tff.aggregators.DifferentiallyPrivateFactory
        silos = float(silos_per_round)
        if privacy.adaptive_quantile is None:
            self._mean = factory.gaussian_fixed(noise_multiplier, silos, float(privacy.clip_norm))
        else:
            self._mean = factory.gaussian_adaptive(
                noise_multiplier,
                silos,
                initial_l2_norm_clip=float(privacy.clip_norm),
                target_unclipped_quantile=float(privacy.adaptive_quantile),
                clipped_count_stddev=clipped_count_deviation(noise_multiplier, silos_per_round),
            )

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        """Returns the aggregation process for updates of floating-point tensors and weights of the given types."""
        mean = self._mean.create(value_type)

        @tff.tensorflow.computation(value_type, weight_type)
        def accepted(update: Any, weight: Any) -> Any:
            finite = [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tf.nest.flatten(update)]
            takes_part = tf.reduce_all(finite) & (weight > 0)
            return tf.nest.map_structure(lambda tensor: tf.where(takes_part, tensor, tf.zeros_like(tensor)), update)

        @tff.federated_computation(
            mean.next.type_signature.parameter[0],
            tff.FederatedType(value_type, tff.CLIENTS),
            tff.FederatedType(weight_type, tff.CLIENTS),
        )
        def next_fn(state: Any, updates: Any, weights: Any) -> Any:
            return mean.next(state, tff.federated_map(accepted, (updates, weights)))

        return tff.templates.AggregationProcess(mean.initialize, next_fn)


def clipped_count_deviation(noise_multiplier: float, silos_per_round: int) -> float:
    """Returns the standard deviation of the noise on the number of silos below the clipping norm.

    It is a twentieth of the silos (Andrew et al., arXiv 1905.03871, section 3.1), and never less than the noise
    multiplier: the count then takes at most a quarter of the budget, and the noise on the updates grows by 15 percent
    at most. With a twentieth of few silos nothing would be left for the updates.
    """
    return max(silos_per_round / 20, noise_multiplier)
