"""Cells against the confusion matrices of the rows themselves."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_federated.fairness_evaluator import cell_metrics, cells, slice_results

EDGES = np.array([0.1, 0.25, 0.5, 0.75])
SCORES = st.one_of(st.sampled_from([*EDGES, 0.0, 1.0]), st.floats(-1, 2))
ROWS = st.lists(
    st.tuples(st.integers(0, 3), SCORES, st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 3)), min_size=1, max_size=40
)


def tables_of(rows, layout, sizes):
    silos, scores, labels, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    batch = cells.Rows(labels, weights, {"": scores})
    places = np.array_split(np.arange(len(rows)), sizes)
    return [
        cells.of_rows(batch, [""], part, {"silo": pa.array(silos[part].astype(np.int32))}, layout) for part in places
    ]


@given(rows=ROWS, sizes=st.integers(1, 5), weighted=st.booleans())
@settings(max_examples=60, deadline=None)
def test_confusion_matrices_at_edges_are_those_of_the_rows(rows, sizes, weighted):
    layout = cells.Layout(EDGES, (weighted,), ())
    combine = cells.Merge(layout.sums())
    accumulators = []
    for table in tables_of(rows, layout, sizes):
        accumulators.append(combine.add_input(combine.create_accumulator(), table))
    merged = combine.extract_output(combine.merge_accumulators(accumulators))
    assert merged.num_rows == merged.select(["silo", "bucket"]).group_by(["silo", "bucket"]).aggregate([]).num_rows
    own = slice_results.slice_cells(merged, merged["silo"].to_numpy().astype(np.int64), 4, layout, 0, weighted)
    for edge in EDGES:
        tp, tn, fp, fn = own.confusion(edge)
        for silo in range(4):
            members = [(score, label, weight if weighted else 1) for of, score, label, weight in rows if of == silo]
            above = [(label, weight) for score, label, weight in members if score > edge]
            below = [(label, weight) for score, label, weight in members if not score > edge]
            assert tp[silo] == pytest.approx(sum(label * weight for label, weight in above))
            assert fp[silo] == pytest.approx(sum((1 - label) * weight for label, weight in above))
            assert tn[silo] == pytest.approx(sum((1 - label) * weight for label, weight in below))
            assert fn[silo] == pytest.approx(sum(label * weight for label, weight in below))


def test_pairs_count_the_rows_that_both_models_predict():
    layout = cells.Layout(EDGES, (False,), ())
    scores = {"a": np.array([0.2, 0.6, 0.6, 0.9]), "b": np.array([0.6, np.nan, 0.3, 0.8])}
    rows = cells.Rows(np.array([1.0, 0.0, 0.0, 1.0]), np.ones(4), scores)
    table = cells.of_pairs(rows, ["a", "b"], False, np.arange(4), {"silo": pa.array([0, 0, 0, 0])}, layout)
    found = table.select(["bucket", "other_bucket", "label", "negative"]).to_pylist()
    assert found == [
        {"bucket": 1, "other_bucket": 3, "label": 1.0, "negative": 0.0},
        {"bucket": 3, "other_bucket": 2, "label": 0.0, "negative": 1.0},
        {"bucket": 4, "other_bucket": 4, "label": 1.0, "negative": 0.0},
    ]


def test_some_of_the_edges_make_coarser_buckets():
    own = cell_metrics.SliceCells(np.array([0, 0]), 1, np.array([0, 4]), {}, EDGES)
    assert own.above(0.75).tolist() == [False, True]
    assert own.bucket_between(np.array([0.25, 0.75])).tolist() == [0, 2]
