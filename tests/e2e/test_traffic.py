"""What a node says about whether visitors may come: to balancers, operators and peers."""

import json
import os
import select
import socket
import subprocess
import sys
from http.client import HTTPConnection
from typing import Any

from tests.lab.cluster import PRIORITY, Cluster, Daemon, await_condition, free_port

CLASSES = {"priority": PRIORITY, "ready": {"classes": ["themes", "plugins"]}}


def with_agent(cluster: Cluster, name: str, **options: Any) -> tuple[Daemon, int]:
    """A node that is not started yet, and the port of its agent check."""
    port = free_port()
    settings = {"agent_check": {"listen": f"127.0.0.1:{port}"}}
    return cluster.add(name, http=True, options=settings, folder_options=CLASSES, **options), port


def agent(port: int) -> str:
    """What the agent check answers."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock, sock.makefile() as answer:
        return answer.read()


def fill(daemon: Daemon) -> None:
    for path in ("themes/style.css", "plugins/main.php", "uploads/cat.jpg"):
        file = daemon.tree / path
        file.parent.mkdir()
        file.write_text(path)


def test_drain_and_undrain(cluster: Cluster) -> None:
    one, one_port = with_agent(cluster, "one")
    fill(one)
    one.start()
    two, two_port = with_agent(cluster, "two", knows=[one])
    two.start()
    two.wait(state="in-sync")
    for daemon, port in ((one, one_port), (two, two_port)):
        daemon.wait(ready="plugins")
        assert agent(port) == "up ready 100%\n"
        assert daemon.health("/readyz") == (200, "ready")

    assert two.verb("drain").stdout.startswith("draining: 1 peer told")
    assert agent(two_port) == "drain\n"
    assert two.health("/readyz?class=themes") == (503, "draining: `syncd undrain` ends it")
    assert two.get("/livez")[0] == 200
    assert two.get("/v1/wait?class=themes&timeout=10")[0] == 200, "what waits for files does not wait for visitors"
    assert two.get("/v1/status")[1]["node"]["draining"]
    assert "traffic: draining" in two.verb("status").stdout
    await_condition(lambda: bool(one.peer("two")["draining"]), "the peer is not told")
    assert agent(one_port) == "up ready 100%\n"
    (one.tree / "uploads/dog.jpg").write_text("a drained node goes on syncing")
    await_condition((two.tree / "uploads/dog.jpg").exists, "a drained node does not sync")
    assert two.verb("drain").stdout == "draining already\n"

    assert two.verb("undrain").stdout == "no longer draining\n"
    assert agent(two_port) == "up ready 100%\n"
    assert two.health("/readyz") == (200, "ready")
    await_condition(lambda: not one.peer("two")["draining"], "the peer is not told")

    two.verb("drain")
    assert two.stop() == 0
    two.start()
    assert agent(two_port) == "up ready 100%\n", "a drain ends with the node; one that was ready is so at once"


def test_a_fresh_node_is_down_with_the_reason(cluster: Cluster) -> None:
    new, port = with_agent(cluster, "new")
    new.start()
    assert agent(port) == "down #themes: waiting for a settled peer\n"
    connection = HTTPConnection("127.0.0.1", new.http_port, timeout=20)
    connection.request("GET", "/readyz?verbose")
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert (response.status, answer["ready"], answer["draining"]) == (503, False, False)
    (folder,) = answer["folders"]
    assert folder["required"] == ["themes", "plugins"]
    assert [(each["class"], each["ready"]) for each in folder["classes"]] == [
        ("themes", False),
        ("plugins", False),
        ("uploads", False),
    ]
    assert all("waiting for a settled peer" in each["reason"] for each in folder["classes"])


def test_an_address_that_is_taken(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = cluster.add("node", options={"agent_check": {"listen": f"127.0.0.1:{port}"}})
        code, lines = node.refused()
    assert code == os.EX_CONFIG
    assert f"agent_check.listen 127.0.0.1:{port}: " in lines[-1]
    assert len([line for line in lines if "cannot start" in line]) == 1


def test_a_program_starts_when_its_class_is_there(cluster: Cluster) -> None:
    one, _ = with_agent(cluster, "one")
    fill(one)
    two, _ = with_agent(cluster, "two", knows=[one])
    two.start()
    command = [
        sys.executable, "-m", "syncd.cli", "--config", str(two.config), "run", "--until", "class=themes",
        "--timeout", "60", "--", "cat", str(two.tree / "themes/style.css"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 0.3)[0] == [], "nothing is there yet"
    one.start()
    out, _ = process.communicate(timeout=90)
    assert (process.returncode, out) == (0, "themes/style.css")
