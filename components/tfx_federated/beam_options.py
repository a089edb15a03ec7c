"""Options of Apache Beam, one function for each environment that runs a pipeline's Beam components.

Each function returns the `beam_pipeline_args` of a TFX pipeline. docs/beam.md says what each environment needs.

```
from tfx_federated import beam_options

pipeline.Pipeline(..., beam_pipeline_args=list(beam_options.direct()))
```
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from apache_beam.options import pipeline_options

# The Flink of manifests/kustomize/components/beam-flink: Beam's runner is made for one minor version of it.
FLINK_VERSION = "1.20"
# Where the worker of that manifest listens, beside each task manager.
WORKER_POOL = "localhost:50000"

# Without a named image, TFX packs itself into a source distribution for every component, which the workers would then
# install. The workers have the packages already; no container is started.
_NO_PACKAGING = "--sdk_container_image=unused"
# A worker needs many seconds to import TensorFlow; without this, each stage of a pipeline starts one of its own.
_WORKER_CACHE = "--environment_cache_millis=600000"

# TFDV needs TFX to be imported before it, and what a worker unpickles first may be of TFDV.
_IMPORT_FIRST = "--beam_plugins=tfx"

_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")
_HIGHEST_PORT = 65535


def direct() -> tuple[str, ...]:
    """Returns the options for Beam inside the component's own process: no cluster, no further process."""
    # Plain DirectRunner looks for a binary to download first; this runner is part of Beam's Python package.
    return ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", _NO_PACKAGING)


def flink(
    *,
    master: str | None = None,
    job_endpoint: str | None = None,
    worker_pool: str = WORKER_POOL,
    parallelism: int = 1,
    worker_processes: int = 1,
    version: str = FLINK_VERSION,
    job_server_jar: str | None = None,
) -> tuple[str, ...]:
    """Returns the options for a Flink cluster.

    The pipeline goes either to the REST address of the cluster, as one jar that the component makes, or to a Beam job
    server that runs already and knows its cluster.

    Args:
        master: REST address of the cluster, for example `http://beam-flink-rest:8081`. Instead of `job_endpoint`.
        job_endpoint: `host:port` of a Beam job server. Instead of `master`.
        worker_pool: `host:port` of Beam's Python workers, as a task manager sees it.
        parallelism: Tasks that run at the same time, at least 1; no more than the cluster has task slots.
        worker_processes: Python processes at each task manager, at least 1. Its tasks share them.
        version: Minor version of the cluster's Flink, for example `1.20`. With `master` only.
        job_server_jar: Path or URL of `beam-runners-flink-<version>-job-server`; None to fetch the one of the installed
            Beam from Maven Central. With `master` only.

    Raises:
        ValueError: An argument is out of range, or not exactly one of `master` and `job_endpoint` is given.
    """
    if (master is None) == (job_endpoint is None):
        raise ValueError(
            f"master is {master!r} and job_endpoint is {job_endpoint!r}; give one of them: the REST address of the "
            "Flink cluster, or the address of a Beam job server"
        )
    _require_whole_number("parallelism", parallelism)
    workers = (f"--parallelism={parallelism}", *_external_workers(worker_pool, worker_processes))
    if job_endpoint is not None:
        if job_server_jar is not None or version != FLINK_VERSION:
            raise ValueError("version and job_server_jar are those of the job server at job_endpoint; leave them out")
        return (*_job_server(job_endpoint), *workers)
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", master or ""):
        raise ValueError(f"master is {master!r}; give Flink's REST address, for example http://beam-flink-rest:8081")
    published = pipeline_options.FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    if version not in published:
        raise ValueError(f"version is {version!r}; the installed Beam runs on Flink {', '.join(published)}")
    jar = () if job_server_jar is None else (f"--flink_job_server_jar={job_server_jar}",)
    return (
        "--runner=FlinkRunner",
        f"--flink_master={master}",
        "--flink_submit_uber_jar",
        f"--flink_version={version}",
        *jar,
        *workers,
    )


def spark(job_endpoint: str, *, worker_pool: str = WORKER_POOL, worker_processes: int = 1) -> tuple[str, ...]:
    """Returns the options for a Spark cluster behind a Beam job server.

    How many tasks run at the same time is a setting of the cluster.

    Args:
        job_endpoint: `host:port` of a Beam job server that knows the Spark master.
        worker_pool: `host:port` of Beam's Python workers, as a Spark executor sees it.
        worker_processes: Python processes at each Spark executor, at least 1. Its tasks share them.

    Raises:
        ValueError: An argument is out of range.
    """
    return (*_job_server(job_endpoint), *_external_workers(worker_pool, worker_processes))


def dataflow(
    *,
    project: str,
    region: str,
    temp_location: str,
    image: str,
    service_account: str | None = None,
    subnetwork: str | None = None,
    maximum_workers: int | None = None,
) -> tuple[str, ...]:
    """Returns the options for Google Cloud Dataflow.

    Args:
        project: Google Cloud project.
        region: Region of the workers, for example `europe-west4`.
        temp_location: Folder in Cloud Storage for files of the job, `gs://...`.
        image: Image of the workers, with Beam's `boot` program and this package in it.
        service_account: E-mail address that the workers act as; None for the project's default.
        subnetwork: URL or `regions/REGION/subnetworks/NAME`. Given one, workers have no public addresses.
        maximum_workers: Most workers, at least 1; None for Dataflow's own limit.

    Raises:
        ValueError: An argument is out of range.
    """
    for name, value in {"project": project, "region": region, "image": image}.items():
        if not value or re.search(r"\s", value):
            raise ValueError(f"{name} is {value!r}; give it without spaces, Dataflow cannot start workers without it")
    if not re.fullmatch(r"gs://[^\s/]+(/\S*)?", temp_location):
        raise ValueError(f"temp_location is {temp_location!r}; give a folder in Cloud Storage, gs://BUCKET/FOLDER")
    arguments = [
        "--runner=DataflowRunner",
        f"--project={project}",
        f"--region={region}",
        f"--temp_location={temp_location}",
        f"--sdk_container_image={image}",
        # The image has Beam; otherwise Beam is uploaded and installed again.
        "--sdk_location=container",
        _IMPORT_FIRST,
    ]
    if service_account is not None:
        arguments.append(f"--service_account_email={service_account}")
    if subnetwork is not None:
        arguments += [f"--subnetwork={subnetwork}", "--no_use_public_ips"]
    if maximum_workers is not None:
        _require_whole_number("maximum_workers", maximum_workers)
        arguments.append(f"--max_num_workers={maximum_workers}")
    return tuple(arguments)


def _job_server(job_endpoint: str) -> Sequence[str]:
    _require_host_and_port("job_endpoint", job_endpoint)
    return ("--runner=PortableRunner", f"--job_endpoint={job_endpoint}")


def _external_workers(worker_pool: str, worker_processes: int) -> Sequence[str]:
    _require_host_and_port("worker_pool", worker_pool)
    _require_whole_number("worker_processes", worker_processes)
    return (
        "--environment_type=EXTERNAL",
        f"--environment_config={worker_pool}",
        f"--sdk_worker_parallelism={worker_processes}",
        _WORKER_CACHE,
        _IMPORT_FIRST,
        _NO_PACKAGING,
    )


def _require_host_and_port(name: str, value: str) -> None:
    match = _HOST_AND_PORT.fullmatch(value)
    if not match or not 1 <= int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError(
            f"{name} is {value!r}; give host:port without a scheme, port 1 to {_HIGHEST_PORT}, such as localhost:50000"
        )


def _require_whole_number(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is {value!r}; give a whole number of at least 1")
