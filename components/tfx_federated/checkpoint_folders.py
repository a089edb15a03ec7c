"""Where a component keeps what it has done so far, so that another attempt in another process or pod finds it."""

from __future__ import annotations

import os
import re

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def beside(output_uri: str, output: str, key: str) -> str:
    """Returns the folder of some work under the pipeline root that an output of the component lies under.

    An output lies at `<root>/<node>/<output>/<execution>` on TFX's own runners, and on Kubeflow Pipelines at
    `<root>/<run>/<task>/<output>`, newer releases with one more folder before the output, where run is a UUID. Where a
    URI has neither form, the folder lies beside the output: then retries that are given the same URI find them.

    Args:
        output_uri: URI of an output artifact.
        output: Name of that output, for example `model`.
        key: Digest of everything that the work depends on.
    """
    name = re.escape(output)
    kubeflow = re.fullmatch(rf"(?P<root>.+)/{_UUID}/[^/]+(/{_UUID})?/{name}", output_uri)
    tfx = re.fullmatch(rf"(?P<root>.+)/[^/]+/{name}/\d+", output_uri)
    match = kubeflow or tfx
    root = match["root"] if match else os.path.dirname(output_uri.rstrip("/"))
    return os.path.join(root, ".checkpoints", key)
