import numpy as np
import pytest
import tensorflow as tf

from tests.tfx_federated.federated_trainer import training_case as case
from tfx_federated import silo_examples
from tfx_federated.contribution_evaluator import held_out_rows

SILOS = {"large": 40, "quoted '\"/\n": 9, "small": 3}
SPECS = {"x": tf.io.FixedLenFeature((), tf.float32), "z": tf.io.FixedLenFeature((2,), tf.float32)}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    rows = {"train": case.rows(SILOS, 0), "eval": case.rows(SILOS, 1)}
    return silo_examples.SiloExamplesReader(case.silo_examples_artifact(tmp_path_factory.mktemp("rows"), rows).uri)


@pytest.fixture(scope="module")
def rows(reader):
    return held_out_rows.read(reader, "eval", SPECS, "late")


def test_rows_are_those_of_the_split_by_silo(rows):
    assert dict(zip(rows.silos, rows.counts.tolist(), strict=True)) == SILOS
    assert list(rows.silos) == sorted(SILOS)
    given = [tf.train.Example.FromString(record).features.feature for record in case.rows(SILOS, 1)]
    for place, silo in enumerate(rows.silos):
        features, labels = rows.of_silo(place)
        expected = sorted(
            (*each["z"].float_list.value, each["late"].int64_list.value[0])
            for each in given
            if each["company"].bytes_list.value[0] == silo.encode()
        )
        found = sorted(map(tuple, np.column_stack([features["z"], labels]).tolist()))
        np.testing.assert_allclose(found, expected)
    assert (rows.silo_of_row == np.repeat([0, 1, 2], rows.counts)).all()


def test_a_sample_keeps_every_silo_and_its_share(rows):
    sample = rows.sample(26, seed=0)
    assert sample.counts.tolist() == [20, 5, 2]
    own = {tuple(each) for each in rows.of_silo(0)[0]["z"].tolist()}
    drawn = [tuple(each) for each in sample.of_silo(0)[0]["z"].tolist()]
    assert len(set(drawn)) == 20
    assert set(drawn) <= own
    assert rows.sample(1000, seed=0) is rows


@pytest.mark.parametrize(
    ("split", "specs", "label", "message"),
    [
        ("eval", {"missing": tf.io.FixedLenFeature((), tf.float32)}, "late", "without a feature that the model takes"),
        ("eval", SPECS, "missing", "label 'missing' is missing in the silo examples"),
        ("eval", SPECS, "company", "label 'company' is text in the silo examples"),
    ],
)
def test_rows_that_the_model_cannot_answer_are_refused(reader, split, specs, label, message):
    with pytest.raises(held_out_rows.HeldOutRowsError, match=message):
        held_out_rows.read(reader, split, specs, label)


def test_an_unknown_split_is_refused(reader):
    with pytest.raises(silo_examples.SiloExamplesError, match="has no split 'test'"):
        held_out_rows.read(reader, "test", SPECS, "late")
