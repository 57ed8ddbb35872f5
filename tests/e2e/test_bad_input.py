"""What strangers send and what operators get wrong: no reply to the former, one helpful line to the latter."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.handshake import PREFACE
from protocol.keys import generate_secret
from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, differences, free_port, snapshot
from tests.lab.machine import cannot_run

EX_CONFIG = 78
UNANSWERED = "connected, closed without an answer: other secret, or not syncd"
FIRST_MESSAGE = PREFACE + (48).to_bytes(2, "big")
TLS_HELLO = bytes.fromhex("16030100c5010000c10303") + bytes(range(194))
PORT_TAKEN = ("cannot listen on", "in use", "is another syncd running? See listening_port")
LINES_AT_ONCE = 5  # log lines about strangers in ten seconds
NO_OVERRIDE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


@pytest.fixture
def node(cluster: Cluster) -> Daemon:
    """A running node with a file."""
    daemon = cluster.add("node")
    (daemon.tree / "file").write_text("a file")
    return daemon.start()


def reply(daemon: Daemon, data: bytes) -> bytes:
    """All that the listener sends to somebody who sends `data`, until it closes."""
    with socket.create_connection((daemon.address, daemon.port), timeout=10.0) as sock:
        received = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(data)
            while more := sock.recv(65_536):
                received += more
        return received


@contextlib.contextmanager
def answering(data: bytes) -> Iterator[str]:
    """The address of something that says this to everybody."""

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.sendall(data)
                sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


# ---- strangers


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        TLS_HELLO,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\0" * 100,
        secrets.token_bytes(48),
        FIRST_MESSAGE + secrets.token_bytes(48),
        FIRST_MESSAGE + b"\0" * 48,
        PREFACE + b"\xff\xff" + b"x" * 65_535,
        PREFACE[:-1] + b"\xff" + secrets.token_bytes(50),
    ],
    ids=["http", "tls", "ssh", "zeros", "random", "other-secret", "zero-key", "too-long", "other-version"],
)
def test_strangers_get_no_byte(shared: Daemon, data: bytes) -> None:
    assert reply(shared, data) == b""
    assert shared.get("/livez")[0] == 200


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One node for all strangers."""
    with Cluster(tmp_path_factory.mktemp("strangers")) as cluster:
        yield cluster.add("shared").start()


def test_strangers_are_logged_but_not_each_of_them(node: Daemon) -> None:
    for _ in range(LINES_AT_ONCE * 4):
        assert reply(node, FIRST_MESSAGE + secrets.token_bytes(48)) == b""
    lines = [line for line in node.log.read_text().splitlines() if "handshake from" in line]
    assert len(lines) == LINES_AT_ONCE
    for line in lines:
        assert "handshake from 127.0.0.1:" in line
        assert "failed: the peer's secret is not a secret of this node" in line
    assert node.get("/livez")[0] == 200


def test_the_dialler_says_why_there_is_no_session(cluster: Cluster, node: Daemon) -> None:
    closed = free_port()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        full_queue() as unreachable,
        answering(b"SSH-2.0-OpenSSH_9.6\r\n") as ssh,
    ):
        silent_address = f"127.0.0.1:{silent.getsockname()[1]}"
        reasons = {
            node.endpoint: UNANSWERED,
            f"127.0.0.1:{closed}": "refused (nothing listens there)",
            silent_address: "no answer to the handshake",
            unreachable: "no answer (firewall?)",
            ssh: "something answers there that is not syncd: is the port right?",
        }
        other = Daemon(cluster.base / "other", generate_secret(secrets.token_bytes(32)), list(reasons))
        cluster.daemons.append(other)
        other.start()

        def told() -> dict[str, str]:
            return {peer["address"]: peer["reason"] for peer in other.status()["peers"]}

        await_condition(lambda: told() == reasons, "not all reasons were told")
        assert not any(peer["connected"] for peer in other.status()["peers"])
    assert "not a secret of this node" in node.log.read_text()
    for reason in reasons.values():
        assert reason in other.log.read_text()
    assert os.listdir(other.tree) == [".syncd"]


@contextlib.contextmanager
def full_queue() -> Iterator[str]:
    """An address where connections are neither accepted nor refused: the queue of the listener is full."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            sock = sockets.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


# ---- operators


def assert_refused(daemon: Daemon, *words: str) -> None:
    """It does not start: exit status 78, one line with these words in it."""
    status, lines = daemon.refused()
    assert status == EX_CONFIG, lines
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], lines


def test_port_in_use(cluster: Cluster, node: Daemon) -> None:
    assert_refused(cluster.add("second", port=node.port), f"127.0.0.1:{node.port}", *PORT_TAKEN)


def test_folder_missing(cluster: Cluster) -> None:
    daemon = cluster.add("daemon")
    daemon.tree.rmdir()
    assert_refused(daemon, str(daemon.tree))
    daemon.tree.write_text("a file")
    assert_refused(daemon, str(daemon.tree))


def test_folder_inside_another(cluster: Cluster, node: Daemon) -> None:
    daemon = cluster.add("daemon")
    daemon.tree = node.tree / "below"
    daemon.tree.mkdir()
    assert_refused(daemon, str(daemon.tree), f"inside {node.tree}")
    assert not (daemon.tree / ".syncd").exists()


def test_storage_cannot_be_written(cluster: Cluster) -> None:
    daemon = cluster.add("daemon")
    daemon.storage.write_text("a file")
    assert_refused(daemon, str(daemon.storage))


def test_storage_inside_the_folder(cluster: Cluster) -> None:
    daemon = cluster.add("daemon")
    daemon.storage = daemon.tree / "state"
    assert_refused(daemon, str(daemon.storage), str(daemon.tree))


def test_second_daemon_on_one_folder(cluster: Cluster, node: Daemon) -> None:
    daemon = cluster.add("daemon")
    daemon.tree = node.tree
    assert_refused(daemon, str(node.tree), "in use by another syncd")
    assert node.get("/livez")[0] == 200


def test_second_daemon_on_one_storage(cluster: Cluster, node: Daemon) -> None:
    daemon = cluster.add("daemon")
    daemon.storage = node.storage
    assert_refused(daemon, str(node.storage), "in use by another syncd")
    assert node.get("/livez")[0] == 200


def test_folder_of_another_secret(cluster: Cluster, node: Daemon) -> None:
    node.stop()
    daemon = Daemon(cluster.base / "other", generate_secret(secrets.token_bytes(32)))
    daemon.tree = node.tree
    assert_refused(daemon, str(node.tree), "was replicated with another secret before; remove")


def test_the_read_only_secret_where_files_are_changed(cluster: Cluster, node: Daemon) -> None:
    reader = cluster.add("reader", knows=[node], read_only=True).start()
    await_condition((reader.tree / "file").exists, "the file does not come")
    cluster.converge()
    (reader.tree / "file").write_text("edited where nothing is published")
    await_condition(lambda: bool(reader.status()["alarms"]), "nobody tells of it")
    assert "local changes on a read-only node are reverted" in reader.status()["alarms"][0]
    await_file(reader.tree / "file", b"a file")
    assert "read-only secret" in reader.verb("status").stdout
    assert "connected, read-only, in sync" in node.verb("status").stdout


def test_the_read_only_secret_on_all_nodes(cluster: Cluster) -> None:
    one = cluster.add("one", read_only=True).start()
    (one.tree / "file").write_text("that nobody gets")
    two = cluster.add("two", knows=[one], read_only=True).start()
    await_condition(lambda: any(peer["connected"] for peer in two.status()["peers"]), "they do not meet")
    assert "all nodes here have the read-only secret" in two.verb("status").stdout
    assert "all nodes here have the read-only secret" in one.verb("status").stdout


def with_two_folders(daemon: Daemon, secrets_of: dict[str, str]) -> Daemon:
    """The node has these folders, each with its secret."""
    folders = []
    for name, secret in secrets_of.items():
        place = daemon.base / "srv" / name
        place.mkdir(parents=True)
        (daemon.base / f"{name}.secret").touch(mode=0o600)
        (daemon.base / f"{name}.secret").write_text(secret)
        hosts = {"known_hosts": daemon.known_hosts, "publish_alone_after": 0.2}
        folders.append({"secret_file": str(daemon.base / f"{name}.secret"), "dir": str(place), **hosts})
    daemon.options["shared_folders"] = folders
    return daemon


@pytest.mark.parametrize("swapped", [True, False])
def test_two_secrets_that_are_swapped(cluster: Cluster, swapped: bool) -> None:
    media, pages = generate_secret(os.urandom(32)), generate_secret(os.urandom(32))
    one = with_two_folders(cluster.add("one"), {"media": media, "pages": pages})
    (one.base / "srv/media/picture").write_text("a picture")
    there = {"media": pages, "pages": media} if swapped else {"media": media, "pages": pages}
    two = with_two_folders(cluster.add("two", knows=[one]), there)
    for daemon in (one, two):
        daemon.start()
    await_file(two.base / ("srv/pages/picture" if swapped else "srv/media/picture"), b"a picture")
    said = two.verb("status").stdout
    assert said.count("alarm: are two secrets swapped?") == (2 if swapped else 0)
    assert one.verb("status").stdout.count("alarm: are two secrets swapped?") == (2 if swapped else 0)
    if swapped:
        (line,) = [line for line in said.splitlines() if f"With the one of {two.base}/srv/pages" in line]
        assert f"the peer one has what is called like {two.base}/srv/media" in line


def test_a_mistake_in_the_configuration(cluster: Cluster) -> None:
    daemon = cluster.add("daemon", options={"listening_prot": 1})
    assert_refused(daemon, str(daemon.config), "listening_prot", "listening_port")


def test_status_without_a_node(cluster: Cluster) -> None:
    daemon = cluster.add("daemon")
    daemon.write_config()
    answer = daemon.verb("status", "--json")
    assert answer.returncode == os.EX_UNAVAILABLE
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    assert "no node is running" in answer.stderr


def test_a_configuration_that_cannot_be_read(cluster: Cluster) -> None:
    daemon = cluster.add("daemon", prefix=unprivileged())
    daemon.write_config()
    daemon.config.chmod(0)
    for verb in ([], ["status"]):
        answer = daemon.verb(*verb)
        assert answer.returncode == os.EX_NOPERM
        assert answer.stderr == f"{daemon.config}: permission denied; run as a user who may read it, or with sudo\n"


# ---- paths in trouble


def test_an_unreadable_file_is_a_problem_and_the_rest_syncs(cluster: Cluster) -> None:
    prefix = unprivileged()
    one, two = cluster.add("one", prefix=prefix), cluster.add("two")
    for name in ("themes/a", "themes/b", "closed/inside", "last"):
        (one.tree / name).parent.mkdir(exist_ok=True)
        (one.tree / name).write_text(name)
    expected = snapshot(one.tree)
    (one.tree / "themes/b").chmod(0)
    (one.tree / "closed").chmod(0)
    one.start()
    two.known_hosts = [one.endpoint]
    two.start()
    await_file_anywhere(two.tree / "themes/a", b"themes/a")
    await_file(two.tree / "last", b"last")
    one.rescan()
    assert (one.problem("themes/b") or {})["operation"] == "read"
    assert (one.problem("closed") or {})["operation"] == "list"
    await_condition(lambda: one.status()["state"] == "error", "a problem is no error")
    assert not (two.tree / "themes/b").exists()

    (one.tree / "themes/b").chmod(0o644)
    (one.tree / "closed").chmod(0o755)
    await_file(two.tree / "themes/b", b"themes/b")
    cluster.converge()
    assert one.status()["problems"] == []
    assert differences(expected, snapshot(two.tree)) == []


def test_what_becomes_unreadable_is_not_deleted(cluster: Cluster) -> None:
    one = cluster.add("one", prefix=unprivileged())
    for name in ("themes/a", "closed/inside", "last"):
        (one.tree / name).parent.mkdir(exist_ok=True)
        (one.tree / name).write_text(name)
    expected = snapshot(one.tree)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    (one.tree / "closed").chmod(0)
    one.rescan()
    assert (one.problem("closed") or {})["operation"] == "list"
    (one.tree / "last").write_text("edited")
    await_file(two.tree / "last", b"edited")
    assert (two.tree / "closed/inside").read_text() == "closed/inside"
    (one.tree / "closed").chmod(0o755)
    cluster.converge()
    assert one.status()["problems"] == []
    assert snapshot(one.tree) == snapshot(two.tree)
    assert snapshot(two.tree).keys() == expected.keys()


def unprivileged() -> list[str]:
    """A command that runs another one without the right to read everything; nothing if we have no such right."""
    if os.geteuid():
        return []
    try:
        dropped = subprocess.run([*NO_OVERRIDE, "true"], capture_output=True).returncode == 0
    except OSError:
        dropped = False
    if not dropped:
        cannot_run("root's right to read everything cannot be dropped here")
    return NO_OVERRIDE


def await_file_anywhere(path: Path, content: bytes) -> None:
    """As await_file, where the directory may be missing still."""
    await_condition(path.parent.is_dir, f"{path.parent} does not come")
    await_file(path, content)


def test_a_fifo_in_the_place_of_a_file_is_a_problem(cluster: Cluster) -> None:
    one = cluster.add("one")
    for name in ("file", "other"):
        (one.tree / name).write_text(name)
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    os.mkfifo(one.base / "fifo")
    os.rename(one.base / "fifo", one.tree / "file")
    os.mkfifo(one.tree / "pipe")
    (one.tree / "other").write_text("edited")
    await_file(two.tree / "other", b"edited")
    one.rescan()
    assert (one.problem("pipe") or {})["operation"] == "skip"
    assert (one.problem("file") or {})["operation"] == "read"
    await_condition(lambda: one.status()["state"] == "error", "a problem is no error")
    assert (two.tree / "file").read_text() == "file"
    (one.tree / "file").unlink()
    (one.tree / "file").write_text("a file again")
    await_file(two.tree / "file", b"a file again")
    cluster.converge()
    assert [problem["path"] for problem in one.status()["problems"]] == ["pipe"]


def test_a_directory_in_the_way_is_a_problem_and_the_rest_syncs(cluster: Cluster) -> None:
    one = cluster.add("one")
    (one.tree / "way").mkdir()
    (one.tree / "way/file").write_text("inside")
    (one.tree / "other").write_text("other")
    one.start()
    two = cluster.add("two", knows=[one]).start()
    cluster.converge()
    os.mkfifo(two.tree / "way/pipe")
    shutil.rmtree(one.tree / "way")
    (one.tree / "way").write_text("a file now")
    (one.tree / "other").write_text("edited")
    await_file(two.tree / "other", b"edited")
    await_condition(lambda: two.problem("way") is not None, "no problem is told")
    problem = two.problem("way") or {}
    assert "pipe" in problem["reason"], problem
    await_condition(lambda: two.status()["state"] == "error", "a problem is no error")
    await_condition(lambda: one.peer("two")["state"] == "error", "the peer does not hear of it")
    assert one.peer("two")["in_sync"] is False
    assert (two.tree / "way").is_dir()
    (two.tree / "way/pipe").unlink()
    await_condition(lambda: (two.tree / "way").is_file(), "the directory stays in the way")
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
