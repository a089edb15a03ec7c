import contextlib
import resource
import signal

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tfx_federated.federated_trainer import training_case as case
from tff_runtime import job as job_lib
from tfx_federated import silo_examples
from tfx_federated.federated_trainer import feature_specs, silo_arrays

SPECS = silo_arrays.StoredSpecs(
    features={"x": tf.io.FixedLenFeature((), tf.float32), "z": tf.io.FixedLenFeature((2,), tf.float32)},
    label_key="late",
    label=tf.io.FixedLenFeature((), tf.int64),
)


def write(folder, rows, excluded_silos=(), **properties):
    artifact = case.silo_examples_artifact(folder, {"train": rows}, **properties)
    directory = job_lib.JobDirectory(folder / "job")
    reader = silo_examples.SiloExamplesReader(artifact.uri)
    silos = silo_arrays.write_split(reader, "train", SPECS, directory, excluded_silos)
    stored = {**SPECS.stored_features(), "late": SPECS.stored_label()}
    return silos, {name: np.load(directory.array("train", feature)) for name, feature in stored.items()}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(silos=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12))
def test_each_silo_has_its_own_rows_and_no_others(tmp_path_factory, silos):
    rows = [case.serialized(silo, row, (row + 0.25, row + 0.5), row % 2) for row, silo in enumerate(silos)]
    written, arrays = write(tmp_path_factory.mktemp("case"), rows)
    assert [silo.silo for silo in written] == sorted(set(silos))
    for silo in written:
        own = slice(silo.start, silo.start + silo.count)
        expected = [row for row, name in enumerate(silos) if name == silo.silo]
        assert sorted(arrays["x"][own]) == expected
        np.testing.assert_array_equal(arrays["z"][own], arrays["x"][own, None] + [[0.25, 0.5]])
        np.testing.assert_array_equal(arrays["late"][own], arrays["x"][own, None] % 2)


def test_parsing_in_several_batches_changes_nothing(tmp_path, monkeypatch):
    rows = case.rows({"a": 7, "b": 4}, 0)
    _, whole = write(tmp_path / "whole", rows)
    monkeypatch.setattr(silo_arrays, "_ROWS_PER_PARSE", 3)
    _, pieces = write(tmp_path / "pieces", rows)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, pieces[name])


def test_of_excluded_silos_no_row_is_written(tmp_path):
    rows = [case.serialized(silo, place, (0.0, 0.0), 0) for place, silo in enumerate("aabccb")]
    silos, arrays = write(tmp_path, rows, excluded_silos=["b"])
    assert silos == (job_lib.SiloRows("a", 0, 2), job_lib.SiloRows("c", 2, 2))
    assert sorted(arrays["x"].tolist()) == [0, 1, 3, 4]


def test_a_missing_label_is_named_with_its_silo(tmp_path):
    rows = [*case.rows({"a": 3}, 0), case.serialized("b", 1.0, (1.0, 1.0), 0, late=None)]
    with pytest.raises(feature_specs.FeatureError, match="silo 'b': a row has no feature 'late' of type int64"):
        write(tmp_path, rows)


@contextlib.contextmanager
def full_disk():
    """Lets this process write no file beyond 1 KB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_arrays_that_do_not_fit_on_the_disk_are_an_error_before_the_first_row(tmp_path):
    with pytest.raises(OSError, match="File too large"), full_disk():
        silo_arrays._create(tmp_path / "x.npy", job_lib.StoredFeature("float32", (), "x.npy"), 1_000_000)


def test_a_feature_of_another_width_is_named_with_its_silo(tmp_path):
    rows = [*case.rows({"a": 3}, 0), case.serialized("b", 1.0, (1.0, 1.0, 1.0), 0)]
    with pytest.raises(feature_specs.FeatureError, match=r"silo 'b': a row has no feature 'z' of .* shape \(2,\)"):
        write(tmp_path, rows)
