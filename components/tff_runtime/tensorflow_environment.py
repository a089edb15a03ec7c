"""What TensorFlow reads from the environment when it is imported."""

from __future__ import annotations

import os


def set_up() -> None:
    """Turns the kernels of oneDNN off, for this process and its children; TensorFlow must not be imported yet.

    In TensorFlow 2.14 the one of FusedBatchNorm, of which LayerNormalization is made, keeps sizes in members that all
    threads share (TensorFlow's pull request 99852): silos that are measured at the same time would get wrong numbers.
    """
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
