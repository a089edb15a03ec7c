import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated.beam_batch_inferrer.inference_case import example, examples_artifact, expected_score, run
from tfx_federated.beam_batch_inferrer import inference_results, model_options
from tfx_federated.beam_batch_inferrer.model_options import ModelOptions


def state():
    return tf.config.optimizer.get_jit(), tf.config.optimizer.get_experimental_options().get("auto_mixed_precision")


def test_options_reach_tensorflow_and_are_undone():
    before = state()
    with model_options.restored():
        ModelOptions(mixed_precision=True, xla=True).apply()
        assert state() == ("autoclustering", True)
    assert not any(state())
    assert not any(before)


def test_options_are_undone_after_an_error():
    def fail():
        with model_options.restored():
            ModelOptions(mixed_precision=True, xla=True).apply()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not any(state())


def test_defaults_change_nothing():
    before = state()
    ModelOptions().apply()
    assert state() == before


@pytest.mark.parametrize("option", ["mixed_precision", "xla"])
def test_run_with_an_option_scores_and_leaves_the_process_as_it_was(tmp_path, sigmoid_model, option):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(x, "a") for x in (0.5, 1.5)]})
    options = f'{{"type": "ModelOptions", "{option}": true}}'
    result = run(sigmoid_model, [examples], tmp_path / "out", model_options=options)
    table = inference_results.read_silo(result.uri, "a")
    np.testing.assert_allclose(table["score"], expected_score([0.5, 1.5]), rtol=1e-2)
    assert not any(state())
