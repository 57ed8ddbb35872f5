"""`"sandbox": "landlock"`: a node that does all its work, and can reach nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.node import sandbox
from syncd.node.sandbox import SandboxError, version
from tests.lab.cluster import Cluster, await_file, snapshot

LANDLOCK = {"sandbox": "landlock"}


def has_landlock() -> bool:
    try:
        return version() > 0
    except SandboxError:
        return False


needs_landlock = pytest.mark.skipif(not has_landlock(), reason="the kernel has no Landlock")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@needs_landlock
def test_a_node_in_a_sandbox_does_all_its_work(cluster: Cluster) -> None:
    one = cluster.add("one", options=LANDLOCK)
    (one.tree / "d/e").mkdir(parents=True)
    (one.tree / "d/e/large").write_bytes(os.urandom(1_000_000))
    (one.tree / "d/file").write_text("file")
    (one.tree / "link").symlink_to("/etc/passwd")
    one.start()
    two = cluster.add("two", knows=[one], options=LANDLOCK, http=True).start()
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    (one.tree / "d/file").write_text("edited")
    await_file(two.tree / "d/file", b"edited")
    os.rename(two.tree / "d/e/large", two.tree / "moved")
    await_file(one.tree / "d/e/large", None)
    os.mkfifo(two.base / "pipe")
    os.rename(two.base / "pipe", two.tree / "d/file")
    os.unlink(two.tree / "d/file")
    cluster.converge()
    assert snapshot(one.tree) == snapshot(two.tree)
    assert two.status()["problem_count"] == 0
    assert two.health("/readyz")[0] == 200
    assert two.stop() == 0
    two.start()
    cluster.converge()
    for daemon in (one, two):
        assert " warning " not in daemon.log.read_text(), "something does not work inside"


@needs_landlock
def test_what_a_sandboxed_process_cannot_reach(tmp_path: Path) -> None:
    for name in ("folder", "storage", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "folder/out").symlink_to(tmp_path / "outside/file")
    attempts = f"""
import os, sys, types
from syncd.node.sandbox import restrict
top = {str(tmp_path)!r}
kept = os.open(top + "/outside", os.O_RDONLY | os.O_DIRECTORY)
folder = types.SimpleNamespace(dir=top + "/folder", known_hosts=())
restrict(types.SimpleNamespace(storage_path=top + "/storage", folders=[folder], audit=None,
    webhook=None, file=top + "/config/sync.json"))
def attempt(what):
    try:
        what()
        return "yes"
    except OSError as error:
        return type(error).__name__
def write(path):
    with open(path, "w") as file:
        file.write("new")
import tomllib
print(*[attempt(what) for what in (
    lambda: write(top + "/folder/file"),
    lambda: write(top + "/storage/file"),
    lambda: os.rename(top + "/storage/file", top + "/folder/moved"),
    lambda: os.rename(top + "/folder/moved", top + "/storage/file"),
    lambda: write(top + "/outside/file"),
    lambda: write(top + "/folder/out"),
    lambda: open(top + "/outside/file").close(),
    lambda: os.listdir(top + "/outside"),
    lambda: os.unlink(top + "/outside/file"),
    lambda: os.mkdir(top + "/outside/new"),
    lambda: os.rename(top + "/outside/file", top + "/folder/taken"),
    lambda: open("/etc/passwd").close(),
    lambda: os.mknod(top + "/folder/device", 0o20600, os.makedev(1, 3)),
    lambda: os.execv("/bin/true", ["true"]),
)])
"""
    done = subprocess.run([sys.executable, "-c", attempts], capture_output=True, text=True)
    assert done.stdout.split() == ["yes"] * 4 + ["PermissionError"] * 10, done.stderr
    assert (tmp_path / "outside/file").read_text() == "x"


@pytest.mark.parametrize(
    ("call", "message"),
    [("no_landlock", "is not in this kernel"), ("too_old", "5.19")],
)
def test_a_kernel_that_cannot_is_told(monkeypatch: pytest.MonkeyPatch, call: str, message: str) -> None:
    if call == "no_landlock":
        monkeypatch.setattr(sandbox, "_CREATE_RULESET", 100_000)  # a call that no kernel has
    else:
        monkeypatch.setattr(sandbox, "OLDEST", 1_000)
        if not has_landlock():
            monkeypatch.setattr(sandbox, "_call", lambda *_: 1)
    with pytest.raises(SandboxError, match=message):
        version()


@needs_landlock
def test_names_can_be_looked_up_if_there_are_any(tmp_path: Path) -> None:
    script = f"""
import socket, sys, types
from syncd.node.sandbox import restrict
known = types.SimpleNamespace(host=sys.argv[1])
folder = types.SimpleNamespace(dir={str(tmp_path)!r}, known_hosts=(known,))
restrict(types.SimpleNamespace(storage_path=folder.dir, folders=[folder], audit=None, file=folder.dir + "/sync.json",
    webhook=sys.argv[2] or None))
try:
    open("/etc/hosts").close()
    socket.getaddrinfo("localhost", 1)
    print("found")
except OSError as error:
    print(type(error).__name__)
"""
    cases = [
        ("web2", "", "found"),
        ("10.0.0.1", "", "PermissionError"),
        ("fe80::1", "", "PermissionError"),
        ("10.0.0.1", "https://hooks.example.org/", "found"),
    ]
    for host, webhook, answer in cases:
        done = subprocess.run([sys.executable, "-c", script, host, webhook], capture_output=True, text=True)
        assert done.stdout.split() == [answer], done.stderr
