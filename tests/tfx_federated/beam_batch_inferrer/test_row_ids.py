import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_federated.beam_batch_inferrer import row_ids


def search(folder, ids_of_files):
    """Returns count and shards of repeated ids, given {shard: [ids of a file, ...]}."""
    files = {}
    for shard, parts in ids_of_files.items():
        for part, ids in enumerate(parts):
            files.setdefault(shard, []).append(f"{folder}/{shard}-{part}")
            row_ids.write(files[shard][-1], pa.chunked_array([ids]))
    for bucket in range(row_ids.BUCKETS):
        row_ids.write_repeated(bucket, files, str(folder))
    return row_ids.read_repeated(str(folder))


def test_repeated_ids_are_counted_with_their_shards(tmp_path):
    ids = {0: [pa.array(["a", "b", "c"])], 1: [pa.array(["d", "b"]), pa.array(["e", "b"])], 2: [pa.array(["f"])]}
    assert search(tmp_path, ids) == (1, [0, 1])


def test_repetition_in_one_file_is_found(tmp_path):
    assert search(tmp_path, {4: [pa.array([1, 2, 3, 2, 1], pa.int64())]}) == (2, [4])


def test_many_different_ids_are_not_repeated(tmp_path):
    assert search(tmp_path, {0: [pa.array(np.arange(50_000))], 1: [pa.array(np.arange(50_000, 100_000))]}) == (0, [])


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=10), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_agrees_with_counting(tmp_path_factory, shards):
    found = search(
        tmp_path_factory.mktemp("ids"), {number: [pa.array(ids, pa.int64())] for number, ids in enumerate(shards)}
    )
    everything = [row_id for ids in shards for row_id in ids]
    repeated = {row_id for row_id in everything if everything.count(row_id) > 1}
    assert found == (len(repeated), [number for number, ids in enumerate(shards) if repeated & set(ids)])
