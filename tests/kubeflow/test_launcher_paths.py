import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_federated.kubeflow import launcher_paths


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://bucket/a/b", "/minio/bucket/a/b"),
        ("s3://bucket/a", "/s3/bucket/a"),
        ("gs://bucket/a", "/gcs/bucket/a"),
        ("oci://registry/model:1", "/oci/registry_model:1/models"),
        ("/mnt/data", None),
        ("https://host/a", None),
    ],
)
def test_the_path_follows_from_the_uri(uri, path, monkeypatch):
    monkeypatch.delenv(launcher_paths.ROOT_VARIABLE, raising=False)
    assert launcher_paths.local_path(uri) == path


def test_the_folders_lie_below_the_launchers_root(monkeypatch):
    monkeypatch.setenv(launcher_paths.ROOT_VARIABLE, "/scratch")
    assert launcher_paths.local_path("minio://bucket/a") == "/scratch/minio/bucket/a"


def test_only_whole_folder_names_are_mapped():
    mapping = launcher_paths.PathMapping({"minio://b/model": "/minio/b/model"})
    assert mapping.to_path("minio://b/model") == "/minio/b/model"
    assert mapping.to_path("minio://b/model/Format-Serving") == "/minio/b/model/Format-Serving"
    assert mapping.to_path("minio://b/model_2") == "minio://b/model_2"
    assert mapping.to_path("minio://b") == "minio://b"
    assert mapping.to_path("about minio://b/model") == "about minio://b/model"


def test_the_longest_uri_wins():
    mapping = launcher_paths.PathMapping({"s3://b/a": "/one", "s3://b/a/c": "/two"})
    assert mapping.to_path("s3://b/a/c/d") == "/two/d"
    assert mapping.to_path("s3://b/a/d") == "/one/d"


names = st.text("abc_-.", min_size=1, max_size=5)


@given(st.lists(st.lists(names, min_size=2, max_size=4), min_size=1, max_size=5), st.lists(names, max_size=3))
def test_what_is_mapped_maps_back(folders, below):
    uris = ["minio://" + "/".join(parts) for parts in folders]
    mapping = launcher_paths.PathMapping({uri: uri.replace("minio://", "/minio/") for uri in uris})
    for uri in uris:
        text = "/".join([uri, *below])
        assert mapping.to_path(text) == text.replace("minio://", "/minio/")
        assert mapping.to_uri(mapping.to_path(text)) == text
