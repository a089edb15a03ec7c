"""Pipeline roots: the folder of the object store that a run writes its artifacts to."""

from __future__ import annotations

import re

from tfx_federated.kubeflow import launcher_paths

_ROOT = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)/?(?P<bucket>[^/?]+)(/[^?]*)?(\?.+)?", re.IGNORECASE)
_SCHEMES = tuple(launcher_paths.FOLDER_OF_SCHEME)
_AZURE = re.compile(r"(az|azure|abfss?|wasbs?)://|https://[^/]*\.(blob|dfs)\.core\.", re.IGNORECASE)


class PipelineRootError(ValueError):
    """A pipeline root is none that Kubeflow Pipelines can write to."""


def require_supported(root: str) -> None:
    """Refuses a pipeline root that no step could write to: the run would fail at its first step.

    `mem://` is refused as well: the server takes it, but the launcher of a step has no folder for it.

    Args:
        root: A URI such as `minio://mlpipeline/flights`.

    Raises:
        PipelineRootError: The scheme is none that the launcher knows, or there is no bucket.
    """
    match = _ROOT.fullmatch(root)
    if match and match["scheme"] in _SCHEMES:
        return
    known = ", ".join(_SCHEMES)
    if _AZURE.match(root):
        reason = (
            f"Kubeflow Pipelines writes to {known} only, and not to Azure Blob Storage; use an S3 gateway in front of "
            "it, such as the SeaweedFS of manifests/kustomize/overlays/aks, with a root such as minio://mlpipeline/NAME"
        )
    elif match:
        reason = f"Kubeflow Pipelines writes to {known} only; give a root such as minio://mlpipeline/NAME"
    else:
        reason = f"it is no URI with a bucket ({known}); give a root such as minio://mlpipeline/NAME"
    raise PipelineRootError(f"pipeline root {root!r}: {reason}")
