import pytest

from tfx_federated import checkpoint_folders

RUN = "5f0a3c1e-52d5-4b0f-9a55-2f1c6f1f9a10"
OTHER_RUN = "c2f5b8d4-0d3e-4a86-8a1b-7a4d2a1a6f01"


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("/root/FederatedTrainer/model/7", "/root"),
        ("gs://bucket/root/FederatedTrainer/model/12", "gs://bucket/root"),
        (
            f"/minio/mlpipeline/v2/artifacts/flights/{RUN}/FederatedTrainer/model",
            "/minio/mlpipeline/v2/artifacts/flights",
        ),
        (
            f"/minio/mlpipeline/v2/artifacts/flights/{RUN}/FederatedTrainer/{OTHER_RUN}/model",
            "/minio/mlpipeline/v2/artifacts/flights",
        ),
        (
            f"/minio/mlpipeline/{OTHER_RUN}/flights/{RUN}/FederatedTrainer/model",
            f"/minio/mlpipeline/{OTHER_RUN}/flights",
        ),
        ("/elsewhere/my model/", "/elsewhere"),
    ],
)
def test_the_folder_lies_under_the_pipeline_root_of_all_runs(uri, root):
    assert checkpoint_folders.beside(uri, "model", "k") == f"{root}/.checkpoints/k"
