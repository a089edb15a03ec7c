"""How TensorFlow runs the model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import tensorflow as tf
from absl import logging

# The first is heeded on GPUs, the second on CPUs.
_MIXED_PRECISION = ("auto_mixed_precision", "auto_mixed_precision_onednn_bfloat16")


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """TensorFlow's own optimisations of a loaded SavedModel; the defaults leave its numbers as they are.

    Attributes:
        mixed_precision: Whether matrix products and convolutions are computed in 16 bits where Grappler finds that
            safe: float16 on GPUs, bfloat16 on CPUs with oneDNN.
        xla: Whether XLA compiles what it can of the graph (auto-clustering), anew for each size of a batch. On CPUs
            TensorFlow heeds it only with `TF_XLA_FLAGS=--tf_xla_cpu_global_jit` in the environment.
    """

    mixed_precision: bool = False
    xla: bool = False

    def apply(self) -> None:
        """Sets this process up, before its first use of a GPU if possible."""
        for device in tf.config.list_physical_devices("GPU"):
            try:
                # Otherwise the first process takes all memory of the GPU.
                tf.config.experimental.set_memory_growth(device, True)
            except RuntimeError:
                logging.info("%s is in use already, its memory growth stays as it is", device.name)
        if self.mixed_precision:
            tf.config.optimizer.set_experimental_options(dict.fromkeys(_MIXED_PRECISION, True))
        if self.xla:
            tf.config.optimizer.set_jit("autoclustering")


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Undoes what `apply` does to a process that other components run in, too."""
    options, jit = tf.config.optimizer.get_experimental_options(), tf.config.optimizer.get_jit()
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({**dict.fromkeys(_MIXED_PRECISION, False), **options})
        tf.config.optimizer.set_jit(jit or False)
