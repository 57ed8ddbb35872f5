"""A control socket that answers what a test says."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[dict[str, str]], tuple[int, Any]]


class FakeNode:
    """Answers by method and path; keeps the requests that came."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def answer(self, request: str, status: int, body: Any) -> None:
        """The same answer to every such request; `request`: method and path."""
        self.answers[request] = lambda _query: (status, body)

    def respond(self, method: str, target: str) -> tuple[int, bytes]:
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        request = f"{method} {url.path}"
        self.asked.append((request, query))
        status, body = self.answers[request](query)
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()


@contextmanager
def running(socket_path: Path) -> Iterator[FakeNode]:
    """A fake node behind a unix socket."""
    node = FakeNode()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            status, body = node.respond(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.handle_any()

        def do_DELETE(self) -> None:
            self.handle_any()

        def do_POST(self) -> None:
            self.handle_any()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    socket_path.parent.mkdir(exist_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(socket_path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield node
        finally:
            server.shutdown()
            thread.join()
            socket_path.unlink()
