"""The modules' features and models, on rows of the real data and on a row that lacks every value."""

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability import fn_api_runner
from pipelines.flights import data as flights_data
from pipelines.flights import flights_module
from pipelines.taxi import data as taxi_data
from pipelines.taxi import taxi_module
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from tff_runtime import model

ROWS = 2000


def _transform(folder, module, frame):
    """Analyses rows and returns the transformed features of these rows and of one more that has no value at all."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = [{name: [] if value is None else [value] for name, value in row.items()} for row in rows]
    types = {"i": tf.int64, "f": tf.float32, "O": tf.string}
    spec = {name: tf.io.VarLenFeature(types[frame[name].dtype.kind]) for name in frame.columns}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with (
        beam.Pipeline(runner=fn_api_runner.FnApiRunner()) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "temporary")),
    ):
        analysed = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(module.preprocessing_fn)
        _ = analysed | tft_beam.WriteTransformFn(str(folder / "graph"))
    values = {name: [*(row[name] for row in rows), []] for name in frame.columns}
    sparse = {name: tf.ragged.constant(values[name], spec[name].dtype).to_sparse() for name in frame.columns}
    return tft.TFTransformOutput(str(folder / "graph")).transform_raw_features(sparse)


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    frame = flights_data.load_flights().iloc[::150][list(flights_data.COLUMNS)].head(ROWS)
    return frame, _transform(tmp_path_factory.mktemp("flights"), flights_module, frame)


@pytest.fixture(scope="module")
def taxi(tmp_path_factory):
    frame = taxi_data.load_rides().iloc[::7][list(taxi_data.COLUMNS)].head(ROWS)
    return frame, _transform(tmp_path_factory.mktemp("taxi"), taxi_module, frame)


@pytest.mark.parametrize(
    ("dataset", "width"),
    [
        # Numbers, indicators, month, weekday, hour, origin, destination; an OOV column for each of the last two.
        ("flights", 17 + 2 + 13 + 7 + 24 + (3 + 1) + (104 + 1)),
        # Numbers, month, weekday, hour, two community areas, payment type with its OOV column.
        ("taxi", 3 + 13 + 8 + 24 + 78 + 78 + (4 + 1)),
    ],
)
def test_inputs_are_finite_vectors_of_fixed_width_even_without_any_value(dataset, width, request):
    frame, transformed = request.getfixturevalue(dataset)
    inputs = transformed["inputs"].numpy()
    assert inputs.shape == (len(frame) + 1, width)
    assert inputs.dtype == np.float32
    assert np.isfinite(inputs).all()


def test_flights_numbers_are_z_scores_of_the_known_values(flights):
    frame, transformed = flights
    column = flights_module.NUMBERS.index("seats")
    seats = frame["seats"].to_numpy(np.float64)
    mean, deviation = np.nanmean(seats), np.nanstd(seats)
    expected = np.clip(np.nan_to_num((seats - mean) / deviation), -4, 4)
    # Mean, deviation and value are each rounded to 8 significant bits.
    bound = 2.0**-9 * (abs(mean) / deviation + 2.1 * np.abs(expected)) + 1e-4
    assert (np.abs(transformed["inputs"].numpy()[:-1, column] - expected) <= bound).all()


def test_flights_indicators_tell_known_weather_and_aircraft(flights):
    frame, transformed = flights
    first = len(flights_module.NUMBERS)
    known = frame[list(flights_module.INDICATED)].notna().to_numpy()
    assert not known.all()
    np.testing.assert_array_equal(transformed["inputs"].numpy()[:-1, first : first + 2], known)


def test_flights_month_is_one_hot(flights):
    frame, transformed = flights
    first = len(flights_module.NUMBERS) + len(flights_module.INDICATED)
    months = transformed["inputs"].numpy()[:-1, first : first + 13]
    np.testing.assert_array_equal(months.argmax(axis=1), frame["month"])
    np.testing.assert_array_equal(months.sum(axis=1), 1)


@pytest.mark.parametrize(("dataset", "module"), [("flights", flights_module), ("taxi", taxi_module)])
def test_label_and_silo_pass_as_they_came(dataset, module, request):
    frame, transformed = request.getfixturevalue(dataset)
    np.testing.assert_array_equal(transformed[module.LABEL_KEY].numpy()[:-1, 0], frame[module.LABEL_KEY])
    silos = transformed[module.SILO_KEY]
    has_silo = frame[module.SILO_KEY].notna().to_numpy()
    np.testing.assert_array_equal(silos.indices.numpy()[:, 0], np.flatnonzero(has_silo))
    assert [silo.decode() for silo in silos.values.numpy()] == frame[module.SILO_KEY][has_silo].to_list()


@pytest.mark.parametrize("module", [flights_module, taxi_module])
def test_model_tells_a_probability_per_row(module):
    arguments = model.ModelArguments({"inputs": model.FeatureSpec("float32", (7,))}, module.LABEL_KEY, {})
    federated_model = module.model_fn(arguments)
    assert [tensor.name for tensor in federated_model.keras_model.inputs] == ["inputs"]
    probability = federated_model.keras_model(np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)).numpy()
    assert probability.shape == (5, 1)
    assert ((probability > 0) & (probability < 1)).all()
