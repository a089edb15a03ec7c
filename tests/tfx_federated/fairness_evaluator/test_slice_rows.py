"""Slices of Arrow batches against TFMA's own slicer, row by row."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from tfx_federated.fairness_evaluator import published_silos, slice_rows

NAMES = ("a", "b")
ROW = st.fixed_dictionaries(
    {
        "group": st.lists(st.sampled_from([b"north", b"south"]), max_size=3),
        "year": st.lists(st.integers(2012, 2013), max_size=2),
        "silo": st.sampled_from([-1, 0, 1]),
    }
)
SPECS = [
    {},
    {"feature_keys": ["silo"]},
    {"feature_keys": ["group"]},
    {"feature_keys": ["silo", "group", "year"]},
    {"feature_keys": ["silo"], "feature_values": {"group": "north"}},
    {"feature_values": {"year": "2012"}},
    {"feature_values": {"silo": "b"}},
    {"feature_values": {"silo": "nobody"}},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@given(rows=st.lists(ROW, min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_every_row_is_in_the_slices_that_tfma_gives_it(spec, rows):
    proto = config_pb2.SlicingSpec(**spec)
    own = slice_rows.SliceSpec.of(proto, "silo", NAMES)
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([row["group"] or None for row in rows], pa.list_(pa.binary())),
            pa.array([row["year"] or None for row in rows], pa.list_(pa.int64())),
        ],
        ["group", "year"],
    )
    places, columns = slice_rows.of_batch(batch, np.array([row["silo"] for row in rows]), own)
    found = sorted(
        (int(place), *(str(columns[name][entry]) for name in own.columns())) for entry, place in enumerate(places)
    )
    expected = []
    for place, row in enumerate(rows):
        features = {name: np.array(row[name]) for name in ("group", "year") if row[name]}
        if row["silo"] >= 0:
            features["silo"] = np.array([NAMES[row["silo"]].encode()])
        keys = slicer_lib.get_slices_for_features_dicts([], features, [slicer_lib.SingleSliceSpec(spec=proto)])
        for key in set(keys):
            values = dict(key)
            silo = [str(NAMES.index(_text(values["silo"])))] * own.by_silo if "silo" in values else []
            expected.append((place, *silo, *(str(pa.scalar(_raw(values[name]))) for name in own.features)))
    assert found == sorted(expected)


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def _raw(value):
    return value.encode() if isinstance(value, str) else value


def test_small_silos_are_pooled_until_the_pool_hides_them():
    census = {"a": 100, "b": 4, "c": 50, "d": 30, "e": 6}
    published = published_silos.publish(census, False, 10)
    assert published.names == ("a", "c", published_silos.POOL)
    assert published.pooled == 3
    batch = pa.RecordBatch.from_arrays([pa.array([["a"], ["e"], None, ["d"]], pa.list_(pa.binary()))], ["silo"])
    assert published.groups_of_rows(batch, "silo").tolist() == [0, 2, -1, 2]
    renamed = published.rename(batch, "silo").column(0).to_pylist()
    assert renamed == [[b"a"], [published_silos.POOL.encode()], None, [published_silos.POOL.encode()]]


def test_too_few_rows_in_all_publish_nothing():
    with pytest.raises(ValueError, match="all silos together have 9 rows, fewer than the privacy minimum of 10"):
        published_silos.publish({"a": 4, "b": 5}, False, 10)
    with pytest.raises(ValueError, match="as the pool of small silos is; rename it"):
        published_silos.publish({published_silos.POOL: 100}, False, 10)
