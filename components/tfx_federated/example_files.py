"""Which record files lie behind Examples artifacts: several artifacts, any splits."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils


def split_names(artifacts: Sequence[types.Artifact]) -> list[str]:
    """Returns the names of all splits of the artifacts, in order of first appearance."""
    names = [name for artifact in artifacts for name in artifact_utils.decode_split_names(artifact.split_names)]
    return list(dict.fromkeys(names))


def split_file_patterns(artifacts: Sequence[types.Artifact], split: str) -> list[str]:
    """Returns one file pattern per artifact that has the split.

    Args:
        artifacts: Examples artifacts with tf.Example payload.
        split: Name of a split, for example `train`.

    Returns:
        Patterns of TFRecord files, gzip-compressed or not.

    Raises:
        ValueError: No artifact has the split, an artifact holds another payload than tf.Example, or the folder of a
            split has no file.
    """
    patterns = []
    for artifact in artifacts:
        if split not in artifact_utils.decode_split_names(artifact.split_names):
            continue
        _require_tf_example_payload(artifact)
        pattern = io_utils.all_files_pattern(artifact_utils.get_split_uri([artifact], split))
        if not fileio.glob(pattern):
            raise ValueError(
                f"split {split!r} of Examples artifact {artifact.uri} has no files; run its producer again"
            )
        patterns.append(pattern)
    if not patterns:
        raise ValueError(f"no Examples artifact has a split {split!r}; there are {split_names(artifacts)}")
    return patterns


def _require_tf_example_payload(artifact: types.Artifact) -> None:
    payload_format = examples_utils.get_payload_format(artifact)
    if payload_format != example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE:
        name = example_gen_pb2.PayloadFormat.Name(payload_format)
        raise ValueError(
            f"Examples artifact {artifact.uri} has payload {name}; this component reads FORMAT_TF_EXAMPLE: set the "
            "output format of its ExampleGen to that"
        )
