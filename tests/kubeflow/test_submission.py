import argparse
import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import warnings

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kubeflow.http_api import Answer
from tests.kubeflow.pipelines_api import EXPERIMENTS, HEALTH, RUNS, PipelinesApi, error, task
from tfx_federated.kubeflow import compiled_pipeline, pipeline_root, submission

PARAMETERS = {
    "rounds": {"parameterType": "NUMBER_INTEGER", "defaultValue": 10},
    "rate": {"parameterType": "NUMBER_DOUBLE", "isOptional": True},
    "data-root": {"parameterType": "STRING"},
    "fair": {"parameterType": "BOOLEAN", "defaultValue": True},
    "silos": {"parameterType": "LIST", "defaultValue": []},
    "options": {"parameterType": "STRUCT", "defaultValue": {}},
}
SPECIFICATION = {
    "pipelineInfo": {"name": "flights"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "tfx-1.21.0",
    "root": {
        "inputDefinitions": {"parameters": PARAMETERS},
        "dag": {
            "tasks": {
                "FederatedTrainer": {
                    "componentRef": {"name": "FederatedTrainer"},
                    "taskInfo": {"name": "FederatedTrainer"},
                    "cachingOptions": {"enableCache": True},
                }
            }
        },
    },
    "components": {"FederatedTrainer": {"executorLabel": "FederatedTrainer_executor"}},
    "deploymentSpec": {"executors": {"FederatedTrainer_executor": {"container": {"image": "a:1"}}}},
}
PLATFORM = {
    "platforms": {
        "kubernetes": {
            "deploymentSpec": {
                "executors": {"FederatedTrainer_executor": {"nodeSelector": {"labels": {"accelerator": "nvidia"}}}}
            }
        }
    }
}


def write(path, *documents):
    path.write_text(yaml.safe_dump_all(documents))
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "flights.yaml", SPECIFICATION, PLATFORM)


@pytest.fixture
def api(monkeypatch, tmp_path):
    monkeypatch.setattr(submission, "POLL_SECONDS", 0.001)
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_DEFAULT_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with PipelinesApi().served() as api:
        yield api


def submit(file, host, *arguments):
    parser = argparse.ArgumentParser()
    submission.add_arguments(parser)
    return submission.run(parser.parse_args([str(file), "--host", host, "--parameter", "data-root=/data", *arguments]))


def definitions(parameters):
    from google.protobuf import json_format

    specification = json_format.ParseDict({"parameters": parameters}, pipeline_spec_pb2.ComponentInputsSpec())
    return specification.parameters


def test_what_is_submitted_is_the_file_with_typed_parameters(file, api, capsys):
    arguments = ["--experiment", "delays", "--run-name", "first", "--pipeline-root", "minio://mlpipeline/flights"]
    arguments += ["--parameter", "rounds=3", "--parameter", "rate=1e-2", "--parameter", "fair=false"]
    arguments += ["--parameter", 'silos=["UA", "HA"]', "--parameter", 'options={"a": 1}']
    assert submit(file, api.host + "/", *arguments, "--service-account", "runner") == 0
    (created,) = api.sent("POST", RUNS)
    assert created.body["runtime_config"] == {
        "parameters": {
            "data-root": "/data",
            "rounds": 3,
            "rate": 0.01,
            "fair": False,
            "silos": ["UA", "HA"],
            "options": {"a": 1},
        },
        "pipeline_root": "minio://mlpipeline/flights",
    }
    pipeline = created.body["pipeline_spec"]
    assert pipeline["pipeline_spec"]["deploymentSpec"] == SPECIFICATION["deploymentSpec"]
    assert pipeline["pipeline_spec"]["root"]["dag"] == SPECIFICATION["root"]["dag"]
    assert pipeline["platform_spec"] == PLATFORM
    assert (created.body["display_name"], created.body["service_account"]) == ("first", "runner")
    assert created.body["experiment_id"] == "experiment-1"
    assert api.experiments[1]["display_name"] == "delays"
    output = capsys.readouterr().out
    assert output == f"submitted pipeline flights as run run-1\n{api.host}/#/runs/details/run-1\n"


def test_an_experiment_that_exists_is_used_again(file, api):
    submit(file, api.host)
    assert not api.sent("POST", EXPERIMENTS)
    assert api.sent("POST", RUNS)[0].body["experiment_id"] == "experiment-0"


def test_without_cache_every_task_says_so(file, api):
    submit(file, api.host, "--no-cache")
    (task_spec,) = api.sent("POST", RUNS)[0].body["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"].values()
    assert not task_spec["cachingOptions"].get("enableCache")


def test_the_token_file_is_read_for_each_request(file, api, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    submit(file, api.host, "--existing-token-file", str(token))
    assert {request.headers["authorization"] for request in api.requests} == {"Bearer first"}
    api.requests.clear()
    server = submission.Server(api.host, token)
    token.write_text("second\n")
    submission.wait(server, compiled_pipeline.load(file), "run-1", None)
    assert {request.headers["authorization"] for request in api.requests} == {"Bearer second"}


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_token_file_without_a_token_is_refused_before_any_request(file, api, tmp_path, content):
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    with pytest.raises(submission.SubmissionError, match=f"--existing-token-file {token} (cannot be read|is empty)"):
        submit(file, api.host, "--existing-token-file", str(token))
    assert not api.requests


def test_the_namespace_goes_with_many_users_and_only_then(file, api):
    with pytest.raises(submission.SubmissionError, match=r"has no multi-user mode.*leave --namespace out"):
        submit(file, api.host, "--namespace", "alice")
    api.multi_user = True
    with pytest.raises(submission.SubmissionError, match=r"name your namespace \(--namespace\)"):
        submit(file, api.host)
    assert not api.sent("POST", RUNS)
    submit(file, api.host, "--namespace", "alice", "--experiment", "delays")
    assert api.sent("GET", EXPERIMENTS)[0].query["namespace"] == "alice"
    assert api.sent("POST", EXPERIMENTS)[0].body["namespace"] == "alice"


def test_waiting_ends_with_the_run(file, api, capsys):
    api.states = ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED"]
    assert submit(file, api.host, "--wait", "--timeout", "60") == 0
    states = [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert states == ["PENDING", "RUNNING", "SUCCEEDED"]


def test_a_failed_run_names_the_tasks_and_reasons_that_the_server_gives(file, api):
    api.states = ["RUNNING", "FAILED"]
    api.tasks = [
        task("flights-x7k2p", "FAILED"),
        task("root", "FAILED"),
        task("CsvExampleGen", "SUCCEEDED"),
        task("FederatedTrainer", "FAILED", "main: Error (exit code 1)"),
    ]
    with pytest.raises(submission.SubmissionError) as raised:
        submit(file, api.host, "--wait")
    assert str(raised.value).splitlines() == [
        "run run-1 of pipeline flights is FAILED",
        "  FederatedTrainer: main: Error (exit code 1)",
        f"The logs of its steps: {api.host}/#/runs/details/run-1",
    ]


def test_a_run_that_fails_around_its_tasks_names_what_failed(file, api):
    api.states, api.tasks = ["FAILED"], [task("root-driver", "FAILED")]
    with pytest.raises(submission.SubmissionError, match="root-driver: the server gives no reason"):
        submit(file, api.host, "--wait")


def test_a_canceled_run_ends_the_waiting(file, api):
    api.states = ["RUNNING", "CANCELING", "CANCELED"]
    with pytest.raises(submission.SubmissionError, match="run run-1 of pipeline flights is CANCELED"):
        submit(file, api.host, "--wait")


def test_waiting_gives_up_after_the_timeout(file, api):
    api.states = ["RUNNING"]
    with pytest.raises(submission.SubmissionError, match=r"still RUNNING after 0.02 s; it goes on, see http"):
        submit(file, api.host, "--wait", "--timeout", "0.02")


def test_a_server_that_goes_away_while_waiting_is_told_with_the_run(file, api):
    api.instead["GET", f"{RUNS}/run-1"] = error(503, 14, "upstream connect error")
    with pytest.raises(submission.SubmissionError, match=r"HTTP 503: upstream.*run run-1 goes on all the same; see"):
        submit(file, api.host, "--wait")


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        (HEALTH, error(401, 16, "no identity"), "HTTP 401: no identity; give a token.*kubectl port-forward"),
        (HEALTH, Answer(403, "RBAC: access denied"), "HTTP 403: RBAC: access denied; ask for the right"),
        (HEALTH, Answer(404, "<html>404</html>"), "HTTP 404: <html>404</html>; .*ends in /pipeline"),
        (HEALTH, error(503, 14, "no endpoints"), "HTTP 503: no endpoints; .*kubectl get deployment ml-pipeline"),
        (HEALTH, Answer(200, "<html>Log in to Dex"), "is not the API.*Log in to Dex.*login page, give a token"),
        (HEALTH, Answer(200, {"status": "up"}), "is not the API"),
        (EXPERIMENTS, error(403, 7, "alice may not list"), "HTTP 403: alice may not list"),
    ],
)
def test_a_refusal_names_the_host_and_what_to_do(file, api, path, answer, message):
    api.instead["GET", path] = answer
    with pytest.raises(submission.SubmissionError, match=f"(?s)^{api.host} .*{message}") as raised:
        submit(file, api.host)
    assert len(str(raised.value).splitlines()) == 1


def test_what_the_server_finds_wrong_with_the_pipeline_is_told(file, api):
    api.instead["POST", RUNS] = error(400, 3, "Failed to create a new run: invalid pipeline spec: unknown field")
    with pytest.raises(
        submission.SubmissionError, match=f"^{api.host} answers HTTP 400: Failed to create a new run: i"
    ):
        submit(file, api.host)


def test_a_host_that_does_not_listen_is_told_with_the_port_forward(file):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(submission.SubmissionError, match=rf"^{host} cannot be reached \(.*refused\).*port-forward"):
        submit(file, host)


def test_a_host_that_never_answers_is_told_after_the_deadline(file, monkeypatch):
    monkeypatch.setattr(submission, "REQUEST_SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(submission.SubmissionError, match=rf"^{host} cannot be reached \(.*timed out"):
            submit(file, host)


@pytest.mark.parametrize("host", ["localhost:8080", "ftp://localhost", "http://", ""])
def test_a_host_that_is_no_address_is_refused(file, host):
    with pytest.raises(submission.SubmissionError, match="is no address; give one such as http://localhost:8080"):
        submit(file, host)


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    (tmp_path / "certificate.pem").write_bytes(signed.public_bytes(encoding))
    return tmp_path / "certificate.pem"


def test_a_certificate_of_an_own_authority_is_taken_once_it_is_named(file, certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, certificate.parent / "key.pem")
    with PipelinesApi().served(tls) as api:
        with pytest.raises(submission.SubmissionError, match=r"cannot be reached.*name it with --ca-certificate"):
            submit(file, api.host)
        assert not api.requests
        assert submit(file, api.host, "--ca-certificate", str(certificate)) == 0
        assert api.sent("POST", RUNS)


def test_every_wrong_parameter_is_told_before_any_request(file, api):
    arguments = ["round=1", "rounds=1.5", "fair=yes", "data-root=/twice", "nothing", 'silos={"a": 1}', "options={a: 1}"]
    with pytest.raises(submission.SubmissionError) as raised:
        submit(file, api.host, *(each for argument in arguments for each in ("--parameter", argument)))
    told = str(raised.value).splitlines()
    assert told[0] == ("the pipeline has no parameter 'round'; it takes rounds, data-root, fair, options, rate, silos")
    assert "parameter 'rounds' is '1.5'; it must be a whole number" in told[1]
    assert told[2] == "parameter 'fair' is 'yes'; it must be true or false"
    assert told[3] == "parameter 'data-root' is given twice; give it once"
    assert told[4] == "--parameter 'nothing': give NAME=VALUE"
    assert told[5] == 'parameter \'silos\' is \'{"a": 1}\'; it must be a JSON list, such as ["a", "b"]'
    assert told[6].startswith("parameter 'options' is '{a: 1}'; it must be a JSON object")
    assert len(told) == 7
    assert not api.requests


def test_a_parameter_without_default_must_be_given():
    with pytest.raises(
        submission.SubmissionError, match=r"^parameter 'data-root' has no default; give --parameter dat"
    ):
        submission.parse_parameters(definitions(PARAMETERS), [])


def test_a_pipeline_without_parameters_takes_none():
    with pytest.raises(submission.SubmissionError, match="no parameter 'rounds'; it takes none"):
        submission.parse_parameters({}, ["rounds=1"])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
VALUES = {
    "NUMBER_INTEGER": (st.integers(-(2**53), 2**53), str),
    "NUMBER_DOUBLE": (st.floats(allow_nan=False, allow_infinity=False), repr),
    "STRING": (st.text(), str),
    "BOOLEAN": (st.booleans(), lambda value: str(value)),
    "LIST": (st.lists(json_values), json.dumps),
    "STRUCT": (st.dictionaries(st.text(), json_values), json.dumps),
}


@given(st.data(), st.sampled_from(sorted(VALUES)))
def test_a_value_written_out_is_read_as_it_was(data, kind):
    values, written = VALUES[kind]
    value = data.draw(values)
    parsed = submission.parse_parameters(definitions({"p": {"parameterType": kind}}), [f"p={written(value)}"])
    assert parsed == {"p": value}
    assert type(parsed["p"]) is type(value)


@given(st.sampled_from(sorted(set(VALUES) - {"STRING"})), st.text())
def test_any_text_is_read_as_the_declared_type_or_refused(kind, text):
    types = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool, "LIST": list, "STRUCT": dict}
    with contextlib.suppress(submission.SubmissionError):
        parsed = submission.parse_parameters(definitions({"p": {"parameterType": kind}}), [f"p={text}"])
        assert type(parsed["p"]) is types[kind]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("NUMBER_INTEGER", str(2**53 + 1)),
        ("NUMBER_INTEGER", "1_0"),
        ("NUMBER_INTEGER", "٣"),
        ("NUMBER_DOUBLE", "nan"),
        ("NUMBER_DOUBLE", "1e999"),
        ("NUMBER_DOUBLE", "1_0.0"),
        ("LIST", "[NaN]"),
        ("LIST", "[1e999]"),
        ("TASK_FINAL_STATUS", "{}"),
    ],
)
def test_what_would_not_arrive_unchanged_is_refused(kind, text):
    with pytest.raises(submission.SubmissionError, match=f"parameter 'p' is '{text}'".replace("[", r"\[")):
        submission.parse_parameters(definitions({"p": {"parameterType": kind}}), [f"p={text}"])


@pytest.mark.parametrize("root", ["gs://b/c", "s3://b", "minio://b/c?region=x"])
def test_roots_of_the_launcher_are_taken(root):
    pipeline_root.require_supported(root)


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("az://container/x", "not to Azure Blob Storage; use an S3 gateway"),
        ("abfss://c@account.dfs.core.windows.net/x", "not to Azure Blob Storage"),
        ("https://account.blob.core.windows.net/c", "not to Azure Blob Storage"),
        ("https://example.com/c", "writes to gs://, minio://, s3:// only; give a root such as"),
        ("mem://b/c", "writes to gs://, minio://, s3:// only"),
        ("/mnt/data", "is no URI with a bucket"),
        ("minio://", "is no URI with a bucket"),
        ("", "is no URI with a bucket"),
    ],
)
def test_other_roots_are_refused_with_the_reason(file, api, root, message):
    with pytest.raises(pipeline_root.PipelineRootError, match=f"pipeline root {root!r}: .*{message}"):
        submit(file, api.host, "--pipeline-root", root)
    assert not api.requests


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([{"pipelineSpec": SPECIFICATION}], "is a PipelineJob, which Vertex AI takes"),
        ([{**SPECIFICATION, "schemaVersion": "2.0.0"}], "has schemaVersion 2.0.0.*2.1.0; compile"),
        ([{"hello": 1}], "has no schemaVersion"),
        ([["a"]], "is no compiled pipeline"),
        ([SPECIFICATION, PLATFORM, {}], "is no compiled pipeline"),
        ([{**SPECIFICATION, "colour": 1}], 'the PipelineSpec is wrong: .*"colour"'),
        ([SPECIFICATION, {"platforms": {"kubernetes": {"colour": 1}}}], 'the PlatformSpec is wrong: .*"colour"'),
    ],
)
def test_a_file_that_is_no_compiled_pipeline_is_refused(tmp_path, documents, message):
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match=message):
        compiled_pipeline.load(write(tmp_path / "p.yaml", *documents))


def with_executor(label, config):
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {label: config}}}}}


def test_the_platform_document_is_read_strictly(tmp_path):
    wrong = with_executor("FederatedTrainer_executor", {"nodeSelectors": {}})
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match=r'PlatformSpec is wrong: .*"nodeSelectors"'):
        compiled_pipeline.load(write(tmp_path / "p.yaml", SPECIFICATION, wrong))
    wrong = with_executor("Trainer_executor", {})
    with pytest.raises(
        compiled_pipeline.CompiledPipelineError, match="places 'Trainer_executor', which the pipeline do"
    ):
        compiled_pipeline.load(write(tmp_path / "p.yaml", SPECIFICATION, wrong))


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match=r"missing.yaml does not exist; compile"):
        compiled_pipeline.load(tmp_path / "missing.yaml")
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match=r"p.json is not named .yaml"):
        compiled_pipeline.load(tmp_path / "p.json")
    (tmp_path / "p.yaml").write_text("a: [")
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match=r"p.yaml is not YAML"):
        compiled_pipeline.load(tmp_path / "p.yaml")
    (tmp_path / "d.yaml").mkdir()
    with pytest.raises(compiled_pipeline.CompiledPipelineError, match=r"d.yaml cannot be read"):
        compiled_pipeline.load(tmp_path / "d.yaml")


@pytest.mark.parametrize("arguments", [["--timeout", "5"], ["--wait", "--timeout", "0"]])
def test_a_timeout_is_positive_and_needs_a_wait(file, arguments):
    with pytest.raises(submission.SubmissionError, match="positive number of seconds, and needs --wait"):
        submit(file, "http://127.0.0.1:1", *arguments)


def test_nothing_of_the_client_but_the_result_is_shown(file, api, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        submit(file, api.host)
    assert "Experiment details" not in capsys.readouterr().out
