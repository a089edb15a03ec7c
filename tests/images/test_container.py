"""Builds the CPU image without Docker and runs steps in it: no root, nothing writable but scratch, no network."""

import csv
import importlib.util
import json
import os
import pathlib
import subprocess

import pytest

from tests.tfx_federated import small_job

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
USER = 1000
HARDENED = (
    "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp:rw,mode=1777", "--network=none", f"--user={USER}:{USER}",
    "--cap-drop=all", "--security-opt=no-new-privileges",
)  # fmt: skip
# Podman's own defaults are higher than a test machine may allow.
LIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")

pytestmark = pytest.mark.slow


def load_build_script():
    spec = importlib.util.spec_from_file_location("build", REPOSITORY / "manifests/images/build_without_docker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def image():
    build = load_build_script()
    missing = build.missing_requirement()
    if missing:
        pytest.skip(f"the image cannot be built here: {missing}")
    podman = build.Podman(REPOSITORY / "build" / "images")
    return podman, build.build_cpu_image(podman)


@pytest.fixture
def scratch(tmp_path):
    return make_folder(tmp_path / "scratch")


def make_folder(folder):
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


def run(image, *command, volumes=(), entrypoint=None):
    podman, name = image
    options = [f"--volume={volume}" for volume in volumes]
    if entrypoint:
        options.append(f"--entrypoint={entrypoint}")
    return subprocess.run(
        podman.command("run", "--rm", "--timeout=200", *HARDENED, *LIMITS, *options, name, *command),
        capture_output=True,
        text=True,
    )


def test_example_gen_runs_by_the_entrypoint(image, scratch, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with (data / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("company", "amount"), *((f"c{row % 3}", row) for row in range(30))])
    answer = scratch / "answer" / "output_metadata.json"
    make_folder(answer.parent)
    splits = [{"name": "train", "hash_buckets": 2}, {"name": "eval", "hash_buckets": 1}]
    parameters = {
        "input_base": "/mnt/data",
        "input_config": json.dumps({"splits": [{"name": "single_split", "pattern": "*.csv"}]}),
        "output_config": json.dumps({"split_config": {"splits": splits}}),
        "output_data_format": 6,
        "output_file_format": 5,
    }
    uri = "minio://pipelines/run/examples"
    examples = {"type": {"schemaTitle": "tfx.Examples", "schemaVersion": "0.0.1"}, "uri": uri}
    executor_input = {
        "inputs": {"parameterValues": parameters},
        "outputs": {
            "artifacts": {"examples": {"artifacts": [examples]}},
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    }
    types = {
        name: {"parameterType": "STRING" if isinstance(v, str) else "NUMBER_INTEGER"} for name, v in parameters.items()
    }
    completed = run(
        image,
        "--executor_class_path=tfx.components.example_gen.csv_example_gen.executor.Executor",
        f"--json_serialized_invocation_args={json.dumps(executor_input)}",
        f"--json_serialized_inputs_spec_args={json.dumps({'parameters': types})}",
        volumes=[f"{data}:/mnt/data:ro", f"{scratch}:/minio", f"{answer.parent}:/tmp/kfp_outputs"],
    )
    assert completed.returncode == 0, completed.stderr[-4000:]
    (examples,) = json.loads(answer.read_text())["artifacts"]["examples"]["artifacts"]
    assert examples["uri"] == uri
    assert json.loads(examples["metadata"]["split_names"]) == ["train", "eval"]
    written = list((scratch / "pipelines/run/examples").glob("Split-*/*"))
    assert {file.parent.name for file in written} == {"Split-train", "Split-eval"}
    assert all(file.stat().st_uid == USER for file in written)


def test_training_runs_in_the_second_interpreter(image, scratch):
    directory = small_job.write(scratch, rounds=2)
    for path in (directory.path, *directory.path.rglob("*")):
        os.chown(path, USER, USER)
    script = (
        "from tff_runtime import job; from tfx_federated import tff_process; "
        "print(tff_process.run_job(job.JobDirectory('/minio/job'), tff_process.find_tff_python(), print))"
    )
    completed = run(image, "-c", script, volumes=[f"{scratch}:/minio"], entrypoint="python")
    assert completed.returncode == 0, completed.stdout[-4000:] + completed.stderr[-4000:]
    assert list(directory.result.rglob("saved_model.pb"))


def test_the_image_serves_as_beam_worker(image):
    completed = run(image, "-c", BEAM_JOB, entrypoint="python")
    assert completed.returncode == 0, completed.stderr[-4000:]


BEAM_JOB = """
import subprocess
import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

def process_name(_):
    import sys
    return sys.modules["__main__"].__spec__.name

# boot writes the pipeline's options into its working directory.
with subprocess.Popen(["/opt/apache/beam/boot", "--worker_pool"], cwd="/tmp") as pool:
    grpc.channel_ready_future(grpc.insecure_channel("localhost:50000")).result(120)
    options = ["--runner=PortableRunner", "--job_endpoint=embed"]
    options += ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"]
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        names = pipeline | beam.Create([1]) | beam.Map(process_name)
        assert_that(names, equal_to(["apache_beam.runners.worker.sdk_worker_main"]))
    pool.terminate()
"""


def test_nothing_but_scratch_is_writable(image):
    script = (
        "import os\n"
        "assert os.getuid() == 1000\n"
        "folders = (d for d, _, _ in os.walk('/') if not d.startswith(('/proc', '/sys', '/dev')))\n"
        "print(*(d for d in folders if os.access(d, os.W_OK)))"
    )
    completed = run(image, "-c", script, entrypoint="python")
    assert completed.stdout.split() == ["/tmp"], completed.stderr
