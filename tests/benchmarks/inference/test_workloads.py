import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from benchmarks.inference import columns, workloads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows")
    workloads.write_rows(400, path)
    return path


def test_all_forms_hold_the_same_rows_in_the_same_order(folder):
    spec = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in columns.NUMERIC.items()}
    spec |= {name: tf.io.FixedLenFeature([], tf.string) for name in (*columns.TEXTS, columns.PERSONAL_SILO_KEY)}
    for shard in range(workloads.SHARDS):
        name = f"Split-{workloads.SPLIT}/data-{shard:05d}-of-{workloads.SHARDS:05d}"
        table = pq.read_table(folder / "parquet" / f"{name}.parquet")
        for file, compression in ((f"gz/{name}.gz", "GZIP"), (f"plain/{name}", "")):
            records = list(tf.data.TFRecordDataset(str(folder / file), compression))
            parsed = tf.io.parse_example(tf.stack(records), spec)
            for column in columns.NUMERIC:
                np.testing.assert_array_equal(parsed[column], table[column].to_numpy())
            for column in (*columns.TEXTS, columns.PERSONAL_SILO_KEY):
                assert [text.decode() for text in parsed[column].numpy()] == table[column].to_pylist()


def test_the_rows_are_flights_again_and_again():
    table = workloads.rows_table(workloads.flights_data.LABELLED_FLIGHTS + 2)

    first, again = table.slice(0, 2), table.slice(workloads.flights_data.LABELLED_FLIGHTS, 2)

    assert first.select(["distance", "carrier"]).equals(again.select(["distance", "carrier"]))
