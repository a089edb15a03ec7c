"""Rows scored by their silos' own models, in runs of the component."""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tests.tfx_federated.beam_batch_inferrer.inference_case import (
    FEATURES,
    example,
    examples_artifact,
    expected_score,
    parquet_artifact,
    run,
    save_model,
)
from tfx_federated import artifacts
from tfx_federated.beam_batch_inferrer import inference_results, routed_models, serving_signature

FACTORS = {"a": 10.0, "b": 20.0, "nan": np.nan}
SILOS = ["a", "b", "unknown", None, "a", "unknown"]
X = np.arange(6.0)


def routed_outputs(parsed):
    silos, factors = tf.constant(list(FACTORS)), tf.constant([*FACTORS.values(), np.nan])
    is_silo = parsed["company"][:, tf.newaxis] == silos
    place = tf.where(tf.reduce_any(is_silo, axis=1), tf.argmax(is_silo, axis=1), len(FACTORS))
    return {"score": (parsed["x"] * tf.gather(factors, place))[:, tf.newaxis]}


@pytest.fixture(scope="module")
def silo_models(tmp_path_factory):
    """Models of silos: score = factor of the silo * x; NaN for silos without a model."""
    uri = tmp_path_factory.mktemp("silo_models")
    save_model(str(uri), routed_outputs, {**FEATURES, "company": tf.io.FixedLenFeature([], tf.string)})
    (uri / "silos.json").write_text(json.dumps(list(FACTORS)))
    artifact = artifacts.SiloModels()
    artifact.uri = str(uri)
    return artifact


def expected():
    return [FACTORS[silo] * x if silo in FACTORS else expected_score(x) for silo, x in zip(SILOS, X, strict=True)]


def scores(result):
    found = {}
    for silo in set(SILOS):
        table = inference_results.read_silo(result.uri, silo)
        found |= dict(zip(table["row"].to_pylist(), table["score"].to_pylist(), strict=True))
    return [found[row] for row in range(len(SILOS))]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_rows_of_known_silos_have_their_own_model_and_others_the_model_of_all(
    tmp_path, sigmoid_model, silo_models, batch_size
):
    records = [example(x, silo) for x, silo in zip(X, SILOS, strict=True)]
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records})
    result = run(sigmoid_model, [examples], tmp_path / "out", silo_models=silo_models, batch_size=batch_size)
    np.testing.assert_allclose(scores(result), expected(), rtol=1e-6)
    content = inference_results.read_manifest(result.uri)
    assert content["rows_by_global_model"] == 3
    assert {silo["silo"]: silo["own_model"] for silo in content["silos"]} == {
        None: False,
        "a": True,
        "b": True,
        "unknown": False,
    }
    assert content["silo_models"] == {"uri": silo_models.uri, "version": None}


def test_parquet_rows_are_routed_as_well(tmp_path, sigmoid_model, silo_models):
    table = pa.table({"x": pa.array(X, pa.float32()), "company": SILOS})
    examples = parquet_artifact(tmp_path / "examples", {"eval/x.parquet": table})
    result = run(sigmoid_model, [examples], tmp_path / "out", silo_models=silo_models)
    np.testing.assert_allclose(scores(result), expected(), rtol=1e-6)


@pytest.mark.parametrize("most_models", [1, 16])
def test_separate_models_are_loaded_when_they_are_needed(tmp_path, sigmoid_model, monkeypatch, most_models):
    monkeypatch.setattr(routed_models, "_MOST_MODELS", most_models)
    loaded = []
    load = serving_signature.ServingSignature.__init__

    def note(self, model_path, *arguments):
        loaded.append(model_path)
        load(self, model_path, *arguments)

    monkeypatch.setattr(serving_signature.ServingSignature, "__init__", note)
    separate = artifacts.SiloModels()
    separate.uri = str(tmp_path / "separate")
    for number, factor in enumerate(FACTORS.values()):
        save_model(
            f"{separate.uri}/{number}", lambda parsed, factor=factor: {"score": (factor * parsed["x"])[:, tf.newaxis]}
        )
    folders = {silo: f"{number}/Format-Serving" for number, silo in enumerate(FACTORS)}
    pathlib.Path(separate.uri, "models.json").write_text(json.dumps(folders))
    records = [example(x, silo) for x, silo in zip(X, SILOS, strict=True)]
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records})
    result = run(sigmoid_model, [examples], tmp_path / "out", silo_models=separate, batch_size=4)
    np.testing.assert_allclose(scores(result), expected(), rtol=1e-6)
    # Silo "nan" has no row; with one place, the model of "a" goes for that of "b" and comes again.
    times = [loaded.count(f"{separate.uri}/{folder}") for folder in folders.values()]
    assert times == ([2, 1, 0] if most_models == 1 else [1, 1, 0])


def test_nan_of_an_own_model_is_a_dead_letter(tmp_path, sigmoid_model, silo_models):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(1.0, "nan"), example(1.0, "a")]})
    with pytest.raises(ValueError, match=r"1 of silo 'nan', .*\(nan_prediction\)"):
        run(sigmoid_model, [examples], tmp_path / "out", silo_models=silo_models)


def test_models_with_other_outputs_are_refused(tmp_path, silo_models):
    model = save_model(str(tmp_path / "model"), lambda parsed: {"other": parsed["x"]})
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(1.0, "a")]})
    with pytest.raises(
        ValueError, match=r"'silo_models' has the outputs \['score'\], and input 'model' has \['other'\]"
    ):
        run(model, [examples], tmp_path / "out", silo_models=silo_models)


def test_models_without_a_list_of_silos_are_refused(tmp_path, sigmoid_model, silo_models):
    without = artifacts.SiloModels()
    without.uri = str(tmp_path / "silo_models")
    pathlib.Path(without.uri).mkdir()
    examples = examples_artifact(tmp_path / "examples", {"eval/x": [example(1.0, "a")]})
    with pytest.raises(ValueError, match=r"input 'silo_models': .* has neither silos\.json nor models\.json"):
        run(sigmoid_model, [examples], tmp_path / "out", silo_models=without)
