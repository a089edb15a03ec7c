"""Runs that fail, are killed, or are repeated by the runner."""

import concurrent.futures
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from apache_beam.utils import shared

from tests.tfx_federated.beam_batch_inferrer.inference_case import digests, example, examples_artifact, run
from tfx_federated import example_shards
from tfx_federated.beam_batch_inferrer import inference_results, shard_files, shard_record, work_folder
from tfx_federated.beam_batch_inferrer.layouts import LAYOUTS
from tfx_federated.beam_batch_inferrer.model_files import ModelFiles
from tfx_federated.beam_batch_inferrer.settings import Settings
from tfx_federated.beam_batch_inferrer.shard_scoring import ScoreShard

ROOT = pathlib.Path(__file__).parents[3]
KILLED = """
import sys
from tests.tfx_federated.beam_batch_inferrer import inference_case
model, examples, uri = sys.argv[1:]
artifact = inference_case.model_artifact(examples)
examples_artifact = inference_case.standard_artifacts.Examples()
examples_artifact.uri, examples_artifact.split_names = examples, '["eval"]'
inference_case.run(inference_case.model_artifact(model), [examples_artifact], uri, batch_size=1)
"""


def records_of(shard, rows=20):
    return [example(float(row), f"silo {(shard + row) % 5}") for row in range(rows)]


def record_files(tmp_path):
    return sorted((tmp_path / ".checkpoints").glob("*/records/*.json"))


def test_a_killed_run_goes_on_with_the_shards_that_are_left(tmp_path, sigmoid_model):
    shards = {f"eval/x-{number}": records_of(number, 300) for number in range(6)}
    examples = examples_artifact(tmp_path / "examples", shards)
    arguments = [sigmoid_model.uri, examples.uri, str(tmp_path / "out")]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, stdout=log, stderr=log)
        while len(record_files(tmp_path)) < 2:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {file: file.stat().st_mtime_ns for file in record_files(tmp_path)}
    assert 2 <= len(finished) < 6
    assert not (tmp_path / "out").exists()
    seen = {}

    def note(*arguments, **properties):
        seen.update({file: file.stat().st_mtime_ns for file in record_files(tmp_path)})
        return complete(*arguments, **properties)

    complete = work_folder.complete
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_folder, "complete", note)
        result = run(sigmoid_model, [examples], tmp_path / "out", batch_size=1)
    assert len(seen) == 6
    assert {file: seen[file] for file in finished} == finished
    assert not (tmp_path / ".checkpoints" / next(iter(finished)).parts[-3]).exists()
    whole = run(sigmoid_model, [examples], tmp_path / "whole" / "out", batch_size=1)
    assert digests(result.uri) == digests(whole.uri)


def test_after_a_damaged_shard_is_repaired_it_alone_is_scored(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {f"eval/x-{n}.gz": records_of(n) for n in range(3)})
    path = tmp_path / "examples" / "Split-eval" / "x-1.gz"
    content = path.read_bytes()
    path.write_bytes(content[:-6])
    with pytest.raises(ValueError, match=r"1 of 3 shards cannot be scored. shard 0/Split-eval/x-1.gz .* cut short"):
        run(sigmoid_model, [examples], tmp_path / "out")
    path.write_bytes(content)
    scored = []
    score = ScoreShard._score

    def note(self, shard, record):
        scored.append(shard.source)
        score(self, shard, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScoreShard, "_score", note)
        result = run(sigmoid_model, [examples], tmp_path / "out")
    assert scored == ["0/Split-eval/x-1.gz"]
    assert inference_results.read_manifest(result.uri)["rows_scored"] == 60


def dofn_of(folder, model, layout):
    folder.make()
    settings = Settings("company", layout=layout, batch_size=7)
    files = ModelFiles(f"{model.uri}/Format-Serving", None, on_features=False)
    return ScoreShard(files, shared.Shared(), settings, {}, folder, {})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_attempts_that_fail_overlap_and_come_in_any_order_leave_the_same_files(
    tmp_path, sigmoid_model, layout, monkeypatch
):
    """What a runner does to bundles: it repeats them, on other workers, while the first may still be writing."""
    examples = examples_artifact(tmp_path / "examples", {f"eval/x-{n}": records_of(n) for n in range(4)})
    shards = example_shards.find_shards([examples], ["eval"])
    monkeypatch.setattr("tfx_federated.beam_batch_inferrer.shard_scoring._BUFFER_BYTES", 1)
    calm, stormy = (work_folder.WorkFolder(str(tmp_path / name)) for name in ("calm", "stormy"))
    dofn = dofn_of(calm, sigmoid_model, layout)
    dofn.setup()
    for shard in shards:
        dofn.process(shard)
    lock, failures = threading.Lock(), {shard.number: 2 for shard in shards}
    write = shard_files.ShardFiles._write

    def fail_at_first(self, path, *arguments):
        with lock:
            fails = "00001" in path and failures[self._shard.number] > 0
            failures[self._shard.number] -= fails
        if fails:
            raise OSError("the worker is gone")
        return write(self, path, *arguments)

    def attempt(shard):
        worker = dofn_of(stormy, sigmoid_model, layout)
        worker.setup()
        for _ in range(5):
            try:
                worker.process(shard)
            except OSError:
                continue

    monkeypatch.setattr(shard_files.ShardFiles, "_write", fail_at_first)
    attempts = [*shards, *shards]
    random.Random(1).shuffle(attempts)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, attempts))
    assert max(failures.values()) == 0
    assert digests(stormy.results) == digests(calm.results)
    assert [shard_record.read(stormy, shard) for shard in shards] == [
        shard_record.read(calm, shard) for shard in shards
    ]


def test_file_that_an_attempt_left_behind_is_not_published(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records_of(0)})
    complete = work_folder.complete

    def with_left_over(folder, *arguments):
        pathlib.Path(folder.results, "silo=silo 1", ".part-00000-00000.parquet.abc").parent.mkdir(exist_ok=True)
        pathlib.Path(folder.results, "silo=silo 1", ".part-00000-00000.parquet.abc").write_text("left over")
        complete(folder, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work_folder, "complete", with_left_over)
        result = run(sigmoid_model, [examples], tmp_path / "out")
    assert not [path for path in digests(result.uri) if os.path.basename(path).startswith(".")]


def test_silos_that_share_a_folder_on_the_file_system_are_refused(tmp_path):
    folder = work_folder.WorkFolder(str(tmp_path))
    folder.make()
    content = {"files": [{"path": "silo=A/part"}, {"path": "silo=a/part"}], "dead_letter_files": []}
    (tmp_path / "results" / "silo=A").mkdir()
    (tmp_path / "results" / "silo=A" / "part").write_text("")
    with pytest.raises(ValueError, match=r"1 of 2 files are not in .* ignores case"):
        work_folder.complete(folder, content, None)


def test_finished_shard_whose_file_is_gone_is_scored_again(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records_of(0)})
    (shard,) = example_shards.find_shards([examples], ["eval"])
    folder = work_folder.WorkFolder(str(tmp_path / "work"))
    dofn = dofn_of(folder, sigmoid_model, "sorted_shards")
    dofn.setup()
    dofn.process(shard)
    assert shard_record.is_finished(folder, shard)
    (tmp_path / "work" / "results" / "part-00000-00000.parquet").unlink()
    assert not shard_record.is_finished(folder, shard)


@pytest.mark.parametrize(
    ("changed", "is_another"),
    [
        ({}, False),
        ({"maximum_dead_letter_share": 0.5}, False),
        ({"batch_size": 3}, True),
        ({"layout": "sorted_shards"}, True),
        ({"passthrough_features": ("x",)}, True),
    ],
)
def test_key_covers_what_files_depend_on(tmp_path, sigmoid_model, changed, is_another):
    (shard,) = example_shards.find_shards([examples_artifact(tmp_path, {"eval/x": records_of(0)})], ["eval"])
    keys = [
        work_folder.key([sigmoid_model.uri], [shard], Settings("company", **properties)) for properties in ({}, changed)
    ]
    assert (keys[0] != keys[1]) == is_another


def test_key_covers_the_model(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_text("1")
    before = work_folder.key([str(model)], [], Settings("company"))
    (model / "saved_model.pb").write_text("2")
    assert work_folder.key([str(model)], [], Settings("company")) != before


def test_results_take_the_place_of_the_empty_folder_that_tfx_makes(tmp_path, sigmoid_model):
    examples = examples_artifact(tmp_path / "examples", {"eval/x": records_of(0)})
    uri = tmp_path / "root" / "Inferrer" / "inference_result" / "7"
    uri.mkdir(parents=True)
    result = run(sigmoid_model, [examples], uri)
    assert inference_results.read_manifest(result.uri)["rows_scored"] == 20
    assert list((tmp_path / "root" / ".checkpoints").iterdir()) == []
