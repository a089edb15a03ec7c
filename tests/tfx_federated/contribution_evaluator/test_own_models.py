import json

import numpy as np
import pytest

from tests.tfx_federated.contribution_evaluator import small_evaluation
from tests.tfx_federated.contribution_evaluator.small_run import FEATURES, predictions
from tfx_federated.contribution_evaluator import own_models


def write(folder, weights, silos):
    np.savez(folder / "weights.npz", weights[:, :FEATURES, np.newaxis], weights[:, FEATURES:])
    (folder / "silos.json").write_text(json.dumps(silos))
    return str(folder)


def test_each_row_is_answered_by_its_silos_model_and_strangers_have_none(tmp_path, function):
    silos = ["small", "large"]
    weights = np.random.default_rng(0).normal(size=(2, FEATURES + 1)).astype(np.float32)
    own = own_models.read(write(tmp_path, weights, silos), FEATURES + 1)
    np.testing.assert_array_equal(own.weights, weights)
    rows = small_evaluation.held_out()
    answers = own.predictions(function, rows)
    for place, silo in enumerate(rows.silos):
        mine = rows.silo_of_row == place
        if silo in silos:
            expected = predictions(weights[silos.index(silo)], rows.features["x"][mine])
            np.testing.assert_allclose(answers[mine], expected, atol=1e-5)
        else:
            assert np.isnan(answers[mine]).all()


def test_models_of_another_kind_are_refused(tmp_path):
    uri = write(tmp_path, np.zeros((1, FEATURES + 1), np.float32), ["a"])
    with pytest.raises(own_models.OwnModelsError, match="has models of 4 weights, and the FederatedRun's model has 9"):
        own_models.read(uri, 9)


@pytest.mark.parametrize("file", ["weights.npz", "silos.json"])
def test_a_missing_file_is_named(tmp_path, file):
    uri = write(tmp_path, np.zeros((1, FEATURES + 1), np.float32), ["a"])
    (tmp_path / file).unlink()
    with pytest.raises(own_models.OwnModelsError, match=f"{file} is missing; give SiloModels that FederatedTrainer"):
        own_models.read(uri, FEATURES + 1)
