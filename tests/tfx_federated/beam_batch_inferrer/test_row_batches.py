import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests.tfx_federated.beam_batch_inferrer.inference_case import write_shard
from tfx_federated.beam_batch_inferrer import row_batches
from tfx_federated.beam_batch_inferrer.example_features import ExampleFeatures
from tfx_federated.beam_batch_inferrer.parquet_columns import ParquetFeatures
from tfx_federated.beam_batch_inferrer.parquet_shards import ParquetShard
from tfx_federated.example_shards import ExampleShard


def read(path, batch_size, batch_bytes):
    """Returns the records of each batch, and their positions in one row."""
    features = ExampleFeatures("company", {})
    shard = ExampleShard(0, "eval", "0/Split-eval/x", str(path))
    batches = list(row_batches.read_examples(shard, features, batch_size, batch_bytes))
    return [batch.records().to_pylist() for batch in batches], [int(p) for batch in batches for p in batch.positions]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(1, 7), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_batches_are_bounded_by_rows_and_bytes_and_keep_the_order(tmp_path_factory, sizes, batch_size, batch_bytes):
    records = [bytes([place]) * size for place, size in enumerate(sizes)]
    path = write_shard(str(tmp_path_factory.mktemp("shard") / "x"), records)
    batches, positions = read(path, batch_size, batch_bytes)
    assert [record for batch in batches for record in batch] == records
    assert positions == list(range(len(records)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or sum(map(len, batch)) <= batch_bytes


def test_parquet_batches_have_their_positions_in_the_file(tmp_path):
    path = str(tmp_path / "x.parquet")
    parquet.write_table(pa.table({"company": ["a"] * 10, "x": np.arange(10.0)}), path, row_group_size=2)
    shard = ParquetShard(0, "eval", "0/Split-eval/x.parquet", path, (1, 4), 2)
    batches = list(row_batches.read_parquet(shard, ParquetFeatures("company", ["x"], []), 4, 1 << 20))
    assert [int(position) for batch in batches for position in batch.positions] == [2, 3, 4, 5, 6, 7]
    values = [value for batch in batches for value in batch.named_features().columns["x"].to_pylist()]
    assert values == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@pytest.mark.parametrize("places", [[0], [2, 0], [1, 1]])
def test_rows_are_taken_by_place(places):
    rows = row_batches.ExampleRows(tf.constant(["a", "b", "c"]), np.array([5, 6, 7]), ExampleFeatures("company", {}))
    taken = rows.take(np.array(places))
    assert taken.records().to_pylist() == [[b"a", b"b", b"c"][place] for place in places]
    assert taken.positions.tolist() == [5 + place for place in places]
