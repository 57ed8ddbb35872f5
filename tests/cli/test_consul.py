"""deploy/examples/consul-register.sh against a stand-in of Consul's agent."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import REPOSITORY
from tests.lab.machine import cannot_run

SCRIPT = REPOSITORY / "deploy/examples/consul-register.sh"
PATIENCE = 30.0  # seconds


class Agent(ThreadingHTTPServer):
    """Remembers who was registered; refuses the first `refusals` requests."""

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.refusals = refusals
        self.heard = queue.Queue[tuple[str, str, str | None]]()  # path, body, token


class Asked(BaseHTTPRequestHandler):
    server: Agent

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.heard.put((self.path, body, self.headers.get("X-Consul-Token")))
        refused = self.server.refusals > 0
        self.server.refusals -= 1
        self.send_response(500 if refused else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test says what is wrong."""


@pytest.fixture
def agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    with Agent(getattr(request, "param", 0)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def started(agent: Agent, tmp_path: Path, ready: str, **environment: str) -> subprocess.Popen[str]:
    """The script, with a syncd whose `wait` does what `ready` says in shell."""
    if shutil.which("curl") is None:
        cannot_run("the script needs curl")
    (tmp_path / "syncd").write_text(f"#!/bin/sh\n{ready}\n")
    (tmp_path / "syncd").chmod(0o755)
    return subprocess.Popen(
        [SCRIPT],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CONSUL": f"http://127.0.0.1:{agent.server_port}",
            "SERVICE": "10.0.0.1:8080",
            **environment,
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_it_comes_when_ready_and_goes_before_the_end(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    ready = f'echo x >>{tmp_path}/asked; [ "$(wc -l <{tmp_path}/asked)" -gt 1 ]'
    script = started(agent, tmp_path, ready, CONSUL_HTTP_TOKEN_FILE=str(tmp_path / "token"))
    path, body, token = agent.heard.get(timeout=PATIENCE)
    assert (tmp_path / "asked").read_text() == "x\nx\n", "not before syncd said so"
    assert path == "/v1/agent/service/register?replace-existing-checks=true"
    assert token == "t0ken"
    service = json.loads(body)
    assert (service["Name"], service["Address"], service["Port"]) == ("site", "10.0.0.1", 8080)
    assert service["Check"]["HTTP"] == "http://10.0.0.1:8080/", "the page takes it out, and nothing else"
    assert script.stdout is not None
    assert script.stdout.readline() == f"consul: {service['ID']} is registered\n"
    script.send_signal(signal.SIGTERM)
    assert agent.heard.get(timeout=PATIENCE)[0] == f"/v1/agent/service/deregister/{service['ID']}"
    assert script.wait(PATIENCE) == 0
    script.stdout.close()


@pytest.mark.parametrize("agent", [1], indirect=True)
def test_an_agent_that_refuses_is_asked_again(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "sleep").write_text("#!/bin/sh\n[ $1 = 5 ] || exec /bin/sleep $1\n")  # nobody waits here
    (tmp_path / "sleep").chmod(0o755)
    script = started(agent, tmp_path, "exit 0")
    first, second = (agent.heard.get(timeout=PATIENCE) for _ in range(2))
    assert first == second
    assert script.stdout is not None
    lines = [script.stdout.readline() for _ in range(3)]
    assert any(line.startswith("consul: cannot register site-") for line in lines)
    assert lines[-1].endswith(" is registered\n")
    script.send_signal(signal.SIGTERM)
    assert script.wait(PATIENCE) == 0
    script.stdout.close()
