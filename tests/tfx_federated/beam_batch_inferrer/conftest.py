import pytest

from tests.tfx_federated.beam_batch_inferrer import inference_case


@pytest.fixture(scope="session")
def sigmoid_model(tmp_path_factory):
    """A model with one output, score = sigmoid(2 x - 1) of shape [batch, 1]."""
    return inference_case.save_model(str(tmp_path_factory.mktemp("sigmoid")), inference_case.sigmoid_outputs)
