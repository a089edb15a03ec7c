"""A JSON API over HTTP in this process, for the clients of Kubeflow Pipelines and of Kubernetes."""

import contextlib
import dataclasses
import http.server
import json
import threading
import urllib.parse
from typing import Any


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    content: Any  # JSON, or a text that is none.


class Api:
    """Answers requests; a subclass says how. `requests` has all that came."""

    def __init__(self):
        self.requests: list[Request] = []
        self.host = ""

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    @contextlib.contextmanager
    def served(self, tls=None):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                query = dict(urllib.parse.parse_qsl(url.query))
                request = Request(self.command, url.path, query, dict(self.headers), body)
                api.requests.append(request)
                answer = api.answer(request)
                is_text = isinstance(answer.content, str)
                payload = (answer.content if is_text else json.dumps(answer.content)).encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", "text/html" if is_text else "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.host = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
