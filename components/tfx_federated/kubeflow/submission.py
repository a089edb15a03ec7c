"""Submits a compiled pipeline to Kubeflow Pipelines, and waits for the run if told to."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import io
import json
import math
import pathlib
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfx_federated.kubeflow import compiled_pipeline, pipeline_root

POLL_SECONDS = 5.0
# To connect, and between bytes of the answer; the client ignores a float that is alone.
REQUEST_SECONDS = (5.0, 30.0)
_BODY_CHARACTERS = 500
# The API keeps numbers as doubles: a larger integer would arrive changed.
_LARGEST_INTEGER = 2**53
_GOOD_STATES = ("SUCCEEDED", "SKIPPED")
_BAD_STATES = ("FAILED", "CANCELED")
_PORT_FORWARD = (
    "`kubectl port-forward --namespace kubeflow service/ml-pipeline-ui 8080:80`, then --host http://localhost:8080"
)


class SubmissionError(RuntimeError):
    """A pipeline cannot be submitted, or its run did not succeed."""


@dataclasses.dataclass(frozen=True)
class Server:
    """The API of Kubeflow Pipelines.

    Attributes:
        host: Its address: that of the user interface, which passes the API on.
        token_file: File with a bearer token, read anew for each request; None for none.
        ca_certificate: PEM file of the authority that signed the server's certificate; None for the well-known ones.
    """

    host: str
    token_file: pathlib.Path | None = None
    ca_certificate: pathlib.Path | None = None

    def __post_init__(self) -> None:
        """Refuses what no request could be sent with."""
        if not re.match(r"https?://[^/\s]+", self.host):
            raise SubmissionError(f"host {self.host!r} is no address; give one such as http://localhost:8080")
        object.__setattr__(self, "host", self.host.rstrip("/"))
        if self.ca_certificate and not self.ca_certificate.is_file():
            raise SubmissionError(f"--ca-certificate {self.ca_certificate} does not exist; name a PEM file")
        try:
            empty = self.token_file is not None and not self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SubmissionError(f"--existing-token-file {self.token_file} cannot be read: {error}") from error
        if empty:
            raise SubmissionError(f"--existing-token-file {self.token_file} is empty; write the token into it")

    def run_link(self, run_id: str) -> str:
        """Returns the address of a run in the user interface."""
        return f"{self.host}/#/runs/details/{run_id}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `tfx-federated submit`."""
    parser.add_argument("pipeline", type=pathlib.Path, metavar="FILE", help="the .yaml of `tfx-federated compile`")
    parser.add_argument("--host", required=True, metavar="URL", help="address of the Kubeflow Pipelines UI")
    parser.add_argument("--namespace", metavar="NAME", help="the user's namespace, with multi-user Kubeflow only")
    parser.add_argument("--experiment", metavar="NAME", help="experiment of the run, made if missing (Default)")
    parser.add_argument("--run-name", metavar="NAME", help="name of the run (the file's name and the time)")
    parser.add_argument("--pipeline-root", metavar="URI", help="where artifacts go, in place of the server's default")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a pipeline parameter; lists as JSON"
    )
    parser.add_argument("--service-account", metavar="NAME", help="service account that the steps run under")
    parser.add_argument("--no-cache", action="store_true", help="run every step, whatever ran before")
    parser.add_argument("--existing-token-file", type=pathlib.Path, metavar="FILE", help="file with a bearer token")
    parser.add_argument("--ca-certificate", type=pathlib.Path, metavar="FILE", help="authority of the host, PEM")
    parser.add_argument("--wait", action="store_true", help="wait for the end of the run; exit code 1 if it fails")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="with --wait: give up waiting after it")


def run(parsed: argparse.Namespace) -> int:
    """Submits what the command line says.

    Returns:
        The exit code.

    Raises:
        ValueError: The file, a parameter or the pipeline root is wrong.
        SubmissionError: The server cannot be used, or the run did not succeed.
    """
    if parsed.timeout is not None and not (parsed.wait and parsed.timeout > 0):
        raise SubmissionError("--timeout is a positive number of seconds, and needs --wait")
    _require_kfp()
    pipeline = compiled_pipeline.load(parsed.pipeline)
    parameters = parse_parameters(pipeline.specification.root.input_definitions.parameters, parsed.parameter)
    if parsed.pipeline_root is not None:
        pipeline_root.require_supported(parsed.pipeline_root)
    server = Server(parsed.host, parsed.existing_token_file, parsed.ca_certificate)
    with _told(server):
        _require_usable(server, parsed.namespace)
        run_id = _create_run(server, pipeline, parameters, parsed)
    print(f"submitted pipeline {pipeline.name} as run {run_id}\n{server.run_link(run_id)}", flush=True)
    if parsed.wait:
        wait(server, pipeline, run_id, parsed.timeout)
    return 0


def parse_parameters(definitions: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Reads pipeline parameters as the types that the pipeline declares.

    Args:
        definitions: `ParameterSpec` by name.
        arguments: Texts `NAME=VALUE`. Lists and structs are JSON, booleans `true` or `false`.

    Returns:
        The value of each parameter given.

    Raises:
        SubmissionError: Parameters are unknown, given twice, missing, or of another type; the message has all of them.
    """
    values: dict[str, Any] = {}
    problems = []
    for argument in arguments:
        name, separator, text = argument.partition("=")
        if not separator:
            problems.append(f"--parameter {argument!r}: give NAME=VALUE")
        elif name not in definitions:
            problems.append(f"the pipeline has no parameter {name!r}; {_known(name, definitions)}")
        elif name in values:
            problems.append(f"parameter {name!r} is given twice; give it once")
        else:
            try:
                values[name] = _value(definitions[name].parameter_type, text)
            except ValueError as error:
                problems.append(f"parameter {name!r} is {text!r}; {error}")
                values[name] = None
    for name, definition in sorted(definitions.items()):
        if name not in values and not definition.HasField("default_value") and not definition.is_optional:
            problems.append(f"parameter {name!r} has no default; give --parameter {name}=VALUE")
    if problems:
        raise SubmissionError("\n".join(problems))
    return values


def _known(name: str, definitions: Mapping[str, Any]) -> str:
    if not definitions:
        return "it takes none"
    names = sorted(definitions)
    closest = difflib.get_close_matches(name, names, n=len(names), cutoff=0.5)
    return "it takes " + ", ".join([*closest, *(each for each in names if each not in closest)])


def _value(parameter_type: int, text: str) -> Any:
    from kfp.pipeline_spec import pipeline_spec_pb2

    kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(parameter_type)
    if kind == "STRING":
        return text
    if kind == "NUMBER_INTEGER":
        if not re.fullmatch(r"[+-]?[0-9]{1,16}", text) or abs(int(text)) > _LARGEST_INTEGER:
            raise ValueError(f"it must be a whole number, at most {_LARGEST_INTEGER:,} either way")
        return int(text)
    if kind == "NUMBER_DOUBLE":
        number = float(text) if re.fullmatch(r"[0-9eE+.-]+", text) and _is_number(text) else math.inf
        if not math.isfinite(number):
            raise ValueError("it must be a finite number, such as 0.5 or 1e-3")
        return number
    if kind == "BOOLEAN":
        if text.lower() not in ("true", "false"):
            raise ValueError("it must be true or false")
        return text.lower() == "true"
    if kind in ("LIST", "STRUCT"):
        return _json_value(text, list if kind == "LIST" else dict)
    raise ValueError(f"its type is {kind}, which cannot be given at submission")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json_value(text: str, expected: type) -> Any:
    name, example = ("list", '["a", "b"]') if expected is list else ("object", '{"a": 1}')
    wanted = f"it must be a JSON {name}, such as {example}"
    try:
        value = json.loads(text)
        # Python reads and writes NaN and infinity, which JSON lacks.
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{wanted} ({error})") from error
    if not isinstance(value, expected):
        raise ValueError(wanted)
    return value


def wait(server: Server, pipeline: compiled_pipeline.CompiledPipeline, run_id: str, timeout: float | None) -> None:
    """Waits until a run ends. What becomes of the run is up to the server: it goes on if the waiting is broken off.

    Args:
        server: Where it runs.
        pipeline: What runs.
        run_id: The run.
        timeout: Most seconds to wait; None for no bound.

    Raises:
        SubmissionError: The run failed or was canceled, and why as far as the server says; the time is up; or the
            server does not answer any more.
    """
    import kfp_server_api

    # Not kfp's `wait_for_run_completion`: it waits for ever for a run that was canceled.
    runs = kfp_server_api.RunServiceApi(_api_client(server))
    deadline = None if timeout is None else time.monotonic() + timeout
    shown = None
    while True:
        with _told(server, f"run {run_id} goes on all the same; see {server.run_link(run_id)}"):
            current = runs.run_service_get_run(run_id, _request_timeout=REQUEST_SECONDS)
        if current.state != shown:
            shown = current.state
            print(f"{time.strftime('%H:%M:%S')} {shown}", flush=True)
        if shown in _GOOD_STATES:
            return
        if shown in _BAD_STATES:
            raise SubmissionError(_failure(server, pipeline, current))
        remaining = math.inf if deadline is None else deadline - time.monotonic()
        if remaining <= 0:
            raise SubmissionError(
                f"run {run_id} is still {shown} after {timeout:g} s; it goes on, see {server.run_link(run_id)}"
            )
        time.sleep(min(POLL_SECONDS, remaining))


def _failure(server: Server, pipeline: compiled_pipeline.CompiledPipeline, ended: Any) -> str:
    """Returns what the server says of a run that did not succeed."""
    lines = [f"run {ended.run_id} of pipeline {pipeline.name} is {ended.state}"]
    if ended.error and ended.error.message:
        lines.append(f"  {ended.error.message}")
    details = (ended.run_details and ended.run_details.task_details) or []
    failed = [task for task in details if task.state == "FAILED"]
    # The server lists what the workflow engine runs: besides the tasks, the graphs around them and their pods.
    tasks = pipeline.specification.root.dag.tasks
    named = [task for task in failed if (task.display_name or "").removesuffix("-driver") in tasks]
    for task in sorted(named or failed, key=lambda task: task.display_name or ""):
        lines.append(f"  {task.display_name}: {'; '.join(_reasons(task)) or 'the server gives no reason'}")
    lines.append(f"The logs of its steps: {server.run_link(ended.run_id)}")
    return "\n".join(lines)


def _reasons(task: Any) -> list[str]:
    errors = [task.error, *(status.error for status in task.state_history or [])]
    messages = [error.message for error in errors if error and error.message]
    return list(dict.fromkeys(messages))


def _require_kfp() -> None:
    try:
        import kfp_server_api  # noqa: F401
    except ImportError as error:
        raise SubmissionError("kfp is not installed; install tfx-federated with its extra 'tfx'") from error


def _create_run(
    server: Server,
    pipeline: compiled_pipeline.CompiledPipeline,
    parameters: Mapping[str, Any],
    parsed: argparse.Namespace,
) -> str:
    """Creates the run, and its experiment where it is missing; returns the run's id."""
    import kfp

    # The client announces its age, and prints links of its own.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(
            host=server.host,
            namespace=parsed.namespace or "kubeflow",
            credentials=_credentials(server),
            ssl_ca_cert=str(server.ca_certificate) if server.ca_certificate else None,
        )
        created = client.create_run_from_pipeline_package(
            str(pipeline.path),
            arguments=dict(parameters),
            run_name=parsed.run_name,
            experiment_name=parsed.experiment,
            namespace=parsed.namespace,
            pipeline_root=parsed.pipeline_root,
            enable_caching=False if parsed.no_cache else None,
            service_account=parsed.service_account,
        )
    return str(created.run_id)


def _require_usable(server: Server, namespace: str | None) -> None:
    """Asks the server for its health: kfp's client asks for minutes, and takes a login page for an answer."""
    import kfp_server_api

    health = kfp_server_api.HealthzServiceApi(_api_client(server))
    response = health.healthz_service_get_healthz(_preload_content=False, _request_timeout=REQUEST_SECONDS)
    try:
        multi_user = json.loads(response.data)["multi_user"]
    except (ValueError, TypeError, KeyError) as error:
        raise SubmissionError(
            f"{server.host} is not the API of Kubeflow Pipelines 2 (it answers {_shortened(response.data)!r}); if that "
            f"is a login page, give a token (--existing-token-file) or go around it: {_PORT_FORWARD}"
        ) from error
    if multi_user and not namespace:
        raise SubmissionError(f"{server.host} has many users; name your namespace (--namespace)")
    if namespace and not multi_user:
        raise SubmissionError(
            f"{server.host} has no multi-user mode, and runs everything in its own namespace; leave --namespace out"
        )


def _api_client(server: Server) -> Any:
    import kfp_server_api

    configuration = kfp_server_api.Configuration(host=server.host)
    if server.ca_certificate:
        configuration.ssl_ca_cert = str(server.ca_certificate)
    credentials = _credentials(server)
    if credentials:
        configuration.api_key = {"authorization": "read from the file"}
        configuration.api_key_prefix = {"authorization": "Bearer"}
        configuration.refresh_api_key_hook = credentials.refresh_api_key_hook
    return kfp_server_api.ApiClient(configuration)


def _credentials(server: Server) -> Any:
    if server.token_file is None:
        return None
    from kfp.client import set_volume_credentials

    return set_volume_credentials.ServiceAccountTokenVolumeCredentials(str(server.token_file))


@contextlib.contextmanager
def _told(server: Server, comfort: str = "") -> Iterator[None]:
    """Turns the errors of requests into one that says what to do."""
    import kfp_server_api
    import urllib3

    try:
        yield
    except kfp_server_api.ApiException as error:
        raise SubmissionError("; ".join(filter(None, (_refusal(server, error), comfort)))) from error
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, urllib3.exceptions.SSLError):
            advice = "if its authority is your own, name it with --ca-certificate"
        else:
            advice = f"check the address, or forward a port to it: {_PORT_FORWARD}"
        told = f"{server.host} cannot be reached ({_cause(reason)}); {advice}"
        raise SubmissionError("; ".join(filter(None, (told, comfort)))) from error


def _refusal(server: Server, error: Any) -> str:
    answer = f"{server.host} answers HTTP {error.status}: {_api_message(error.body) or error.reason}"
    if error.status == 401:
        return f"{answer}; give a token that is not expired (--existing-token-file), or go around: {_PORT_FORWARD}"
    if error.status == 403:
        return f"{answer}; ask for the right to use Kubeflow Pipelines in the namespace, or name another (--namespace)"
    if error.status == 404:
        return (
            f"{answer}; is that the address of Kubeflow Pipelines 2? Behind Kubeflow's dashboard it ends in /pipeline. "
            f"Or go around: {_PORT_FORWARD}"
        )
    if error.status == 503:
        return f"{answer}; see whether it runs: `kubectl get deployment ml-pipeline --namespace kubeflow`"
    return answer


def _api_message(body: Any) -> str:
    """Returns the message of an error of the API, or the beginning of whatever came instead."""
    try:
        content = json.loads(body)
        return str(content.get("message") or content.get("error") or "").strip()
    except (ValueError, TypeError, AttributeError):
        return _shortened(body or b"")


def _shortened(body: Any) -> str:
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body)
    return " ".join(text.split())[:_BODY_CHARACTERS]


def _cause(reason: Any) -> str:
    """Returns the reason without the connection object that urllib3 puts before it."""
    return re.sub(r"^<[^>]*>: |^\w*Connection\([^)]*\): ", "", str(reason))
