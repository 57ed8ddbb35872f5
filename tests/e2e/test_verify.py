"""`syncd verify`: what decayed on a disk comes back from a peer, and what was found is kept."""

import json
import os
from pathlib import Path

import pytest

from protocol.keys import parse_secret
from protocol.paths import to_key
from syncd.store.index import SqliteIndex
from tests.lab.cluster import Cluster, Daemon, await_condition, await_file

SMALL, LARGE = b"small and sound", os.urandom(300_000)


def verify(daemon: Daemon, *arguments: str) -> tuple[int, dict]:
    """The exit status of the verb, and what it found."""
    done = daemon.verb("verify", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def decay(daemon: Daemon, name: str, data: bytes) -> None:
    """While the node is down: other bytes in a file, and an index that knows it with the times that it has then.

    A disk that decays leaves the ctime as it is; nothing else can, so the index follows instead.
    """
    path = daemon.tree / name
    before = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    keys = parse_secret(daemon.secret)
    assert keys.page_seed is not None
    database: Path = next(daemon.storage.glob("folders/*/index.sqlite3"))
    index = SqliteIndex(database, keys.folder_id, keys.page_seed)
    with index.transaction(durable=True):
        key = to_key(name.encode())
        row = index.rows([key])[key]
        assert row.disk is not None
        index.store([row._replace(disk=row.disk._replace(ctime=path.stat().st_ctime_ns))])
    index.close()


@pytest.fixture
def pair(cluster: Cluster) -> tuple[Daemon, Daemon]:
    """Two nodes in sync, the second one stopped."""
    one = cluster.add("one").start()
    (one.tree / "small").write_bytes(SMALL)
    (one.tree / "large").write_bytes(LARGE)
    one.rescan()
    one.wait_settled()
    two = cluster.add("two", knows=[one]).start()
    await_file(two.tree / "small", SMALL, 60)
    await_file(two.tree / "large", LARGE, 60)
    cluster.converge()
    two.stop()
    return one, two


def test_damage_is_healed_and_kept(pair: tuple[Daemon, Daemon]) -> None:
    one, two = pair
    decay(two, "small", b"SMALL")
    decay(two, "large", b"decayed")
    await_condition(lambda: _old_enough(two), "time stands still")  # what is young is hashed again, and is an edit then
    two.start().wait(state="in-sync")
    code, report = verify(two, "--heal")  # where the tests run, writes through mappings may not show
    assert code == os.EX_DATAERR
    assert {item["path"] for item in report["found"]} == {"small", "large"}
    assert {item["fate"] for item in report["found"]} == {"healing"}
    await_file(two.tree / "small", SMALL, 60)
    await_file(two.tree / "large", LARGE, 60)
    two.wait(state="in-sync")
    kept = {path.read_bytes()[:7] for path in two.archive}
    assert kept == {b"SMALL a", b"decayed"}
    assert ((one.tree / "small").read_bytes(), (one.tree / "large").read_bytes()) == (SMALL, LARGE)
    await_condition(lambda: two.status()["problems"] == [], "healed damage is told for ever")
    code, report = verify(two)
    assert (code, report["found"], report["files"]) == (0, [], 2)


def test_an_edit_is_published_and_not_undone(pair: tuple[Daemon, Daemon]) -> None:
    one, two = pair
    two.start().wait(state="in-sync")
    (two.tree / "small").write_bytes(b"SMALL and new!!")
    code, report = verify(two, "--heal")
    assert (code, report["found"]) == (0, [])
    await_file(one.tree / "small", b"SMALL and new!!", 60)
    assert (two.tree / "small").read_bytes() == b"SMALL and new!!"


def test_one_path_alone_and_wrong_requests(pair: tuple[Daemon, Daemon]) -> None:
    _, two = pair
    two.start().wait(state="in-sync")
    assert verify(two, str(two.tree / "small"))[1]["files"] == 1
    assert verify(two, "nothing/here")[1]["files"] == 0
    assert two.get("/v1/verify?heal=perhaps", method="POST") == (400, {"error": "heal is 1 or 0"})
    assert two.get("/v1/verify?path=zz", method="POST")[0] == 400
    assert two.get("/v1/verify", method="DELETE")[1]["active"] is False


def _old_enough(daemon: Daemon) -> bool:
    """Whether no file is young any more: such are left to the watcher."""
    newest = max(path.stat().st_ctime_ns for path in (daemon.tree / "small", daemon.tree / "large"))
    (daemon.base / "clock").touch()
    return (daemon.base / "clock").stat().st_ctime_ns - newest > 2_500_000_000
