"""Where the launcher of Kubeflow Pipelines puts an artifact's files inside a container.

The launcher downloads a step's inputs from the object store before the step starts and uploads its outputs after it
ends, and tells the step the URIs in the store. The local path follows from the URI, as in `LocalPathForURI` of
kubeflow/pipelines `backend/src/v2/component/launcher_v2.go` (2.0.5 to HEAD).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

# Newer launchers read this variable too; without it the folders lie at the root.
ROOT_VARIABLE = "ARTIFACT_LOCAL_PATH"

FOLDER_OF_SCHEME = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


def local_path(uri: str) -> str | None:
    """Returns the path at which the launcher keeps the files of a URI, or None if it does not handle the scheme."""
    for scheme, folder in FOLDER_OF_SCHEME.items():
        if uri.startswith(scheme):
            return os.environ.get(ROOT_VARIABLE, "") + folder + uri[len(scheme) :]
    if uri.startswith("oci://"):
        name = uri.removeprefix("oci://").replace("/", "_")
        return f"{os.environ.get(ROOT_VARIABLE, '')}/oci/{name}/models"
    return None


class PathMapping:
    """A two-way mapping between the URIs of one task's artifacts and their local paths.

    A string is mapped if it is the URI of one of the artifacts or lies below it. Other URIs are left as they are: the
    launcher has not brought their files, so that there is no local path to name.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        """Takes the local path of each URI."""
        self._paths = dict(paths)
        self._uris = {path: uri for uri, path in self._paths.items()}

    def to_path(self, text: str) -> str:
        """Returns the local path of a URI of this task, any other text unchanged."""
        return _replace_start(text, self._paths)

    def to_uri(self, text: str) -> str:
        """Returns the URI of a local path of this task, any other text unchanged."""
        return _replace_start(text, self._uris)


def _replace_start(text: str, replacements: Mapping[str, str]) -> str:
    for start in _starts(text):
        if start in replacements:
            return replacements[start] + text[len(start) :]
    return text


def _starts(text: str) -> Iterable[str]:
    """Yields the text and the folders that it lies in, the longest first."""
    while text:
        yield text
        text, separator, _ = text.rpartition("/")
        if not separator:
            return
