"""A node that is not root, and what it may not read or write."""

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from tests.lab.cluster import Cluster, Daemon, await_condition, await_file, snapshot
from tests.lab.hosts import Host, Network
from tests.root.installed import Installation

pytestmark = pytest.mark.root

NOBODY = pwd.getpwnam("nobody")
DENIED = os.strerror(13)
RECOVERY = 30.0  # seconds: some tries with growing pauses


class Limited(Daemon):
    """A daemon of the user nobody, as it is installed: the source tree and its interpreter may be private to root."""

    program = ""

    def start(self, *, wait: bool = True) -> "Limited":
        """Start the process as nobody. Everything is its own, unless the test took it away."""
        secret = self.base / "secret"
        if not secret.exists():
            secret.touch(mode=0o600)
            os.chown(secret, NOBODY.pw_uid, NOBODY.pw_gid)
        self.write_config()
        drop = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *drop, self.program, "--config", str(self.config)], cwd="/", stdout=log, stderr=log
            )
        if wait:
            self.wait_started()
        return self

    @property
    def trouble(self) -> set[tuple[str, str, str]]:
        """The problems of the status: path, operation, reason."""
        return {(item["path"], item["operation"], item["reason"]) for item in self.status()["problems"]}


def take(path: Path, mode: int) -> None:
    """Make it root's, and no more than `mode` for others."""
    os.chown(path, 0, 0)
    os.chmod(path, mode)


def give_back(path: Path, mode: int) -> None:
    """Make it nobody's again."""
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    os.chmod(path, mode)


@pytest.fixture
def hosts(network: Network) -> tuple[Host, Host]:
    return network.pair("one", "two")


@pytest.fixture
def limited(hosts: tuple[Host, Host], public_installation: Installation, cluster: Cluster, open_path: Path) -> Limited:
    host = hosts[0]
    base = open_path / "limited"
    daemon = Limited(base, cluster.secret, address=host.address, prefix=host.prefix)
    daemon.program = str(public_installation.command)
    for path in (base, daemon.tree):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    cluster.daemons.append(daemon)
    return daemon


@pytest.fixture
def full(hosts: tuple[Host, Host], cluster: Cluster, limited: Limited) -> Daemon:
    """A node of root that `limited` is in sync with."""
    daemon = cluster.add("full", address=hosts[1].address, prefix=hosts[1].prefix)
    for path in ("themes/one.css", "closed/old", "closed/gone", "hidden/kept", "free/file"):
        (daemon.tree / path).parent.mkdir(exist_ok=True)
        (daemon.tree / path).write_text(path)
    limited.known_hosts = [daemon.endpoint]
    daemon.start()
    limited.start()
    cluster.converge()
    assert (limited.tree / "themes/one.css").stat().st_uid == NOBODY.pw_uid
    return daemon


def test_what_cannot_be_read_is_a_problem_and_no_deletion(cluster: Cluster, full: Daemon, limited: Limited) -> None:
    secret = limited.base / "private.txt"
    secret.write_text("root's")
    take(secret, 0o600)
    secret.rename(limited.tree / "private.txt")
    take(limited.tree / "themes/one.css", 0o600)
    (limited.tree / "themes/one.css").write_text("changed")
    take(limited.tree / "hidden", 0o700)
    (limited.tree / "hidden/new").write_text("new")
    (limited.tree / "new-directory").mkdir(0o700)
    (limited.tree / "new-directory/file").write_text("inside")
    (limited.tree / "free/more").write_text("more")
    expected = {
        ("private.txt", "read", DENIED),
        ("themes/one.css", "read", DENIED),
        ("hidden", "list", DENIED),
        ("new-directory", "list", DENIED),
    }
    await_file(full.tree / "free/more", b"more")
    limited.rescan()
    assert limited.trouble == expected
    await_condition(lambda: limited.status()["state"] == "error", "the state does not tell of the problems")
    (full.tree / "free/from-full").write_text("still")
    await_file(limited.tree / "free/from-full", b"still")
    full.rescan()
    there = snapshot(full.tree)
    assert {b"hidden/kept", b"themes/one.css", b"free/more"} <= there.keys()
    assert not {b"private.txt", b"new-directory/file", b"hidden/new"} & there.keys()
    assert (full.tree / "themes/one.css").read_text() == "themes/one.css"
    assert full.status()["problems"] == []

    for path, mode in (("private.txt", 0o644), ("themes/one.css", 0o644), ("hidden", 0o755), ("new-directory", 0o700)):
        give_back(limited.tree / path, mode)
    await_file(full.tree / "private.txt", b"root's")
    await_file(full.tree / "themes/one.css", b"changed")
    await_condition(lambda: (full.tree / "new-directory/file").exists(), "new-directory is not looked into again")
    await_condition(lambda: (full.tree / "hidden/new").exists(), "hidden is not looked into again")
    await_condition(lambda: not limited.trouble, "trouble stays")
    cluster.converge()
    assert snapshot(limited.tree) == snapshot(full.tree)


def test_what_cannot_be_written_is_a_problem_and_tried_again(cluster: Cluster, full: Daemon, limited: Limited) -> None:
    take(limited.tree / "closed", 0o755)
    (full.tree / "closed/new").write_text("new")
    (full.tree / "closed/old").write_text("changed")
    (full.tree / "closed/gone").unlink()
    (full.tree / "closed/sub").mkdir()
    (full.tree / "closed/sub/file").write_bytes(bytes(300_000))
    (full.tree / "free/more").write_text("more")
    await_file(limited.tree / "free/more", b"more")
    expected = {f"closed/{name}" for name in ("new", "old", "gone", "sub", "sub/file")}
    await_condition(
        lambda: {path for path, _, _ in limited.trouble} == expected,
        f"other problems than {expected}: {limited.trouble}",
        RECOVERY,
    )
    print(sorted(limited.trouble))
    assert {reason for _, _, reason in limited.trouble} == {DENIED}
    assert {operation for _, operation, _ in limited.trouble} <= {"write", "remove"}
    await_condition(lambda: limited.status()["state"] == "error", "the state does not tell of the problems")
    full.rescan()
    assert (full.tree / "closed/sub/file").exists()
    assert (limited.tree / "closed/old").read_text() == "closed/old"
    assert (limited.tree / "closed/gone").exists()

    give_back(limited.tree / "closed", 0o755)
    await_condition(lambda: not limited.trouble, "trouble stays", RECOVERY)
    cluster.converge()
    assert snapshot(limited.tree) == snapshot(full.tree)
    assert not (limited.tree / "closed/gone").exists()


def test_a_place_that_cannot_be_used_is_one_line(limited: Limited) -> None:
    limited.start()
    assert limited.stop() == 0
    places = {  # what is taken away: what the line names
        "state": "state",
        "state/lock": "state/lock",
        "state/node.key": "state/node.key",
        "state/folders": "state/folders",
        "state/folders/*": "state/folders",
        "state/folders/*/index.sqlite3": "index.sqlite3",
        "tree": "tree",
        "tree/.syncd": "tree",
        "secret": "secret",
    }
    for taken, named in places.items():
        (path,) = limited.base.glob(taken)
        mode = stat.S_IMODE(path.stat().st_mode)
        take(path, mode & 0o700)
        code, lines = limited.refused()
        assert (taken, code, len(lines)) == (taken, os.EX_NOPERM, 1), lines
        assert named in lines[0]
        assert any(words in lines[0] for words in ("denied", "cannot be", "belongs to another user")), lines
        give_back(path, mode)
    limited.start()
    assert limited.stop() == 0
