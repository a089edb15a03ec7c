"""A Beam job server with an embedded engine, and Beam's Python workers: a cluster on one machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import grpc
from apache_beam import version
from apache_beam.utils import subprocess_server

_POM = pathlib.Path(__file__).with_name("job_server.pom.xml")
_CLASS_PATH_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
_BOOT = "github.com/apache/beam/sdks/v2/python/container"
_BUILD_SECONDS = 500
_START_SECONDS = 120
_END_SECONDS = 20
_LOG_CHARACTERS = 4000

# The engines use reflection that Java 17 forbids otherwise.
_OPENED_PACKAGES = ("java.lang", "java.lang.invoke", "java.net", "java.nio", "java.util", "java.util.concurrent")
_JAVA_FLAGS = [
    "-Xmx2g",
    "-XX:-UsePerfData",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in (*_OPENED_PACKAGES, "sun.nio.ch")),
    "-Dspark.ui.enabled=false",
    "-Dspark.driver.host=localhost",
]


class UnavailableError(Exception):
    """The job server cannot be had on this machine."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine that a Beam job server can embed.

    Attributes:
        runners: Artifact of Beam's runner and its version, the wanted one first.
        main_class: The job server.
        arguments: The embedded engine.
        maven_arguments: The POM's profile, where the engine needs one.
    """

    runners: tuple[tuple[str, str], ...]
    main_class: str
    arguments: tuple[str, ...]
    maven_arguments: tuple[str, ...] = ()


# Not every mirror of Maven Central has each release of the runners. An older one takes these pipelines too.
_OLDER = "2.62.0"
ENGINES = {
    "flink": Engine(
        (("beam-runners-flink-1.20", version.__version__), ("beam-runners-flink-1.19", _OLDER)),
        "org.apache.beam.runners.flink.FlinkJobServerDriver",
        ("--flink-master=[local]",),
    ),
    "spark": Engine(
        (("beam-runners-spark-3", version.__version__), ("beam-runners-spark-3", _OLDER)),
        "org.apache.beam.runners.spark.SparkJobServerDriver",
        ("--spark-master-url=local[2]",),
        ("-Pspark",),
    ),
}


@dataclasses.dataclass(frozen=True)
class JobServer:
    """A running job server with its workers.

    Attributes:
        job_endpoint: `host:port` for `--job_endpoint`.
        worker_pool: `host:port` for `--environment_config`.
        pool_log: Log of the worker pool. It has the command of every worker, with `--id=<job>-<worker>`.
    """

    job_endpoint: str
    worker_pool: str
    pool_log: pathlib.Path


def boot_program(folder: pathlib.Path) -> pathlib.Path:
    """Builds the program that starts a Python worker in a container, the same as in manifests/images.

    Raises:
        UnavailableError: Go is missing, or cannot get the sources.
    """
    if not shutil.which("go"):
        raise UnavailableError(
            "there is no 'go' on PATH; install Go, Beam's program that starts workers is built by it"
        )
    finished = subprocess.run(
        ["go", "install", f"{_BOOT}@v{version.__version__}"],
        env={**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
    )
    if finished.returncode:
        raise UnavailableError(f"go install {_BOOT} fails: {finished.stderr[-_LOG_CHARACTERS:]}")
    # The worker pool cannot tell it where its files go, which would be /tmp.
    boot = folder / "boot"
    boot.write_text(f'#!/bin/sh\nexec "{folder}/container" --semi_persist_dir="{folder}" "$@"\n')
    boot.chmod(0o755)
    return boot


def class_path(engine: Engine, folder: pathlib.Path) -> tuple[str, str]:
    """Has Maven fetch the job server; Maven keeps it in its own cache, and heeds its own settings of mirrors.

    Returns:
        The runner, artifact and version, and the class path.

    Raises:
        UnavailableError: Java or Maven is missing, or Maven cannot get any of the engine's runners.
    """
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise UnavailableError(f"there is no {program!r} on PATH; install Java 17 and Maven")
    reasons = []
    for artifact, beam_version in engine.runners:
        output = folder / f"{artifact}-{beam_version}.txt"
        command = ["mvn", "--batch-mode", f"--file={_POM}", *engine.maven_arguments, f"-Drunner={artifact}"]
        command += [f"-Dbeam.version={beam_version}", f"-Dmdep.outputFile={output}", _CLASS_PATH_GOAL]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS)
        if finished.returncode == 0:
            return f"{artifact} {beam_version}", output.read_text()
        errors = [line for line in finished.stdout.splitlines() if line.startswith("[ERROR]")]
        reasons.append(f"{artifact} {beam_version}: {errors[0] if errors else finished.stderr[-_LOG_CHARACTERS:]}")
    raise UnavailableError(f"Maven cannot get the Beam job server: {'; '.join(reasons)}")


@contextlib.contextmanager
def running(engine: Engine, jars: str, boot: pathlib.Path, folder: pathlib.Path) -> Iterator[JobServer]:
    """Starts a job server and a worker pool, and ends them and all that they started.

    Args:
        engine: One of `ENGINES`.
        jars: Its class path.
        boot: The program that starts a worker.
        folder: For logs and temporary files.

    Raises:
        RuntimeError: A process does not listen in time; the error has the end of its log.
    """
    pool_port, job_port, artifact_port = subprocess_server.pick_port(None, None, None)
    temporary = folder / "tmp"
    temporary.mkdir()
    ports = [f"--job-port={job_port}", f"--artifact-port={artifact_port}", "--expansion-port=-1"]
    java = ["java", *_JAVA_FLAGS, f"-Djava.io.tmpdir={temporary}", "-cp", jars, engine.main_class]
    java += [*engine.arguments, *ports, f"--artifacts-dir={folder / 'staged'}"]
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool_port}"]
    pool += [f"--container_executable={boot}"]
    with (
        _process(pool, folder, "worker_pool", pool_port) as pool_log,
        _process(java, folder, "job_server", job_port),
    ):
        yield JobServer(f"localhost:{job_port}", f"localhost:{pool_port}", pool_log)


@contextlib.contextmanager
def _process(command: Sequence[str], folder: pathlib.Path, name: str, port: int) -> Iterator[pathlib.Path]:
    """Runs a server in a session of its own; what it starts is in the session, and is ended with it."""
    log = folder / f"{name}.log"
    # The pool starts the first `python` on PATH.
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    python_path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "TMPDIR": str(folder / "tmp")}
    # As in the image: else each worker starts in a virtual environment of its own.
    environment["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] = "1"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(process, port, name, log)
        yield log
    finally:
        _end(process)


def _wait_until_it_answers(process: subprocess.Popen, port: int, name: str, log: pathlib.Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        ready = grpc.channel_ready_future(channel)
        while time.monotonic() < deadline and process.poll() is None:
            try:
                ready.result(timeout=1)
                return
            except grpc.FutureTimeoutError:
                continue
        ready.cancel()
    state = "still runs" if process.poll() is None else f"ended with status {process.returncode}"
    raise RuntimeError(
        f"{name} does not answer at port {port} and {state}; its log ends:\n"
        f"{log.read_text(errors='replace')[-_LOG_CHARACTERS:]}"
    )


def _end(process: subprocess.Popen) -> None:
    """Ends all processes of a session, first politely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for member in session_members(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, number)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
            if not session_members(process.pid):
                return
            time.sleep(0.1)
    raise RuntimeError(f"processes of session {process.pid} do not end: {session_members(process.pid)}")


def session_members(session: int) -> list[int]:
    """Returns the processes of a session that still run; a zombie that nobody has waited for does not."""
    members = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # Behind the program's name, which may hold anything: state, parent, group, session.
            state, _, _, of_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(of_session) == session and state != "Z":
                members.append(int(stat.parent.name))
    return members
