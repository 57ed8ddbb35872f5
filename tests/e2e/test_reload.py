"""SIGHUP: what the file says now holds now, nothing that goes on is disturbed, and a broken file changes nothing."""

import json
import os
import secrets
import signal
from pathlib import Path
from typing import Any

from protocol.keys import generate_secret
from tests.lab.cluster import Cluster, Daemon, await_condition, await_file

DONE = "the configuration was read anew"
BROKEN = "the configuration cannot be used"


def reload(daemon: Daemon, text: str | None = None, says: str = DONE) -> str:
    """Have the daemon read its file, and return what it logged of that."""
    before = daemon.log.stat().st_size
    if text is None:
        daemon.write_config()
    else:
        daemon.config.write_text(text)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)

    def new() -> str:
        return daemon.log.read_bytes()[before:].decode()

    await_condition(lambda: says in new(), f"{says!r} is not in the log")
    return new()


def folder(path: Path, secret: str, **more: Any) -> dict[str, Any]:
    path.mkdir(exist_ok=True)
    return {"dir": str(path), "secret": secret, "publish_alone_after": 0.2, **more}


def test_known_hosts_limits_and_the_log_change_while_sessions_stay(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two").start()
    two.known_hosts = [one.endpoint]
    two.options = {"download_limit": 5_000, "log": {"level": "warning", "format": "json"}}
    two.write_config()
    assert two.process is not None
    two.process.send_signal(signal.SIGHUP)
    await_condition(lambda: bool(two.peer("one")), "the new known host is not dialled")
    (one.tree / "file").write_text("x")
    await_file(two.tree / "file", b"x")
    logged = two.log.stat().st_size
    two.options["log"] = {"level": "info", "format": "json"}
    two.known_hosts = []
    text = reload(two)
    assert json.loads(text.splitlines()[0])["event"] == DONE, "the format is another one, and info is logged again"
    assert two.log.read_bytes()[:logged].count(DONE.encode()) == 0, "warnings only: this is none"
    (one.tree / "file").write_text("y")
    await_file(two.tree / "file", b"y")
    assert two.peer("one"), "the session stays though its address was taken out"


def test_ignore_rules_change_while_the_node_runs(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one]).start()
    (one.tree / "cache").mkdir()
    for name in ("kept", "lost"):
        (one.tree / "cache" / name).write_text(name)
    cluster.converge()
    two.folder_options = {"ignore": ["/cache/"]}
    reload(two)
    (one.tree / "cache/new").write_text("new")
    (two.tree / "cache/lost").unlink()
    (one.tree / "other").write_text("other")
    await_file(two.tree / "other", b"other")
    two.rescan()
    assert not (two.tree / "cache/new").exists()
    two.folder_options = {}
    reload(two)
    await_file(two.tree / "cache/new", b"new")
    await_file(two.tree / "cache/lost", b"lost")
    cluster.converge()
    assert (one.tree / "cache/lost").read_text() == "lost", "what went away while it was ignored is no deletion"


def test_ignore_rules_that_changed_while_the_node_was_off(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one], folder_options={"ignore": ["/cache/"]}).start()
    (one.tree / "cache").mkdir()
    (one.tree / "cache/file").write_text("x")
    cluster.converge()
    assert not (two.tree / "cache/file").exists()
    assert two.stop() == 0
    two.folder_options = {}
    two.start()
    await_condition((two.tree / "cache/file").exists, "what is ignored no more is not fetched")


def test_classes_and_readiness_change_while_the_node_runs(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one], http=True).start()
    for name in ("themes", "uploads"):
        (one.tree / name).mkdir()
        (one.tree / name / "file").write_text(name)
    cluster.converge()
    two.folder_options = {
        "priority": [{"class": "themes", "match": ["/themes/"]}, {"class": "uploads", "match": ["*"]}],
        "ready": {"classes": ["themes"]},
    }
    assert "changed='priority of" in reload(two)
    assert [item["class"] for item in two.status()["classes"]] == ["themes", "uploads"]
    assert two.health("/readyz?class=themes")[0] == 200, "all was compared, so all classes were"
    assert two.health("/readyz?class=rest")[0] == 503
    (one.tree / "themes/more").write_text("more")
    await_file(two.tree / "themes/more", b"more")
    two.folder_options["priority"].pop(0)
    two.folder_options["ready"] = {}
    reload(two)
    assert [item["class"] for item in two.status()["classes"]] == ["uploads"]
    (one.tree / "themes/last").write_text("last")
    await_file(two.tree / "themes/last", b"last")


def test_a_broken_file_changes_nothing(cluster: Cluster) -> None:
    one = cluster.add("one").start()
    two = cluster.add("two", knows=[one]).start()
    text = two.config.read_text()
    said = reload(two, text.replace('"known_hosts"', '"known_host"'), BROKEN)
    assert "sync.json:" in said
    assert "known_hosts" in said, "what was meant is said"
    (one.tree / "file").write_text("x")
    await_file(two.tree / "file", b"x")
    two.options = {"listening_port": two.port + 1, "device_name": "other"}
    said = reload(two, None, "take effect with the next start")
    assert "keys='device_name, listening_port'" in said
    two.options = {}
    assert "take effect" not in reload(two)


def test_folders_come_change_and_go_while_the_node_runs(cluster: Cluster) -> None:
    other = generate_secret(secrets.token_bytes(32))
    one, two = cluster.add("one"), cluster.add("two")
    folders: dict[str, dict[str, Any]] = {}
    for daemon in (one, two):
        peer = two.endpoint if daemon is one else one.endpoint
        folders[daemon.base.name] = {
            "a": folder(daemon.base / "a", cluster.secret, known_hosts=[peer]),
            "b": folder(daemon.base / "b", other, known_hosts=[peer]),
        }
        daemon.options = {"shared_folders": [folders[daemon.base.name]["a"]]}
        daemon.start()
    (one.base / "a/file").write_text("a")
    await_file(two.base / "a/file", b"a")
    (one.base / "b/file").write_text("b")
    for daemon in (one, two):
        daemon.options = {"shared_folders": list(folders[daemon.base.name].values())}
        assert f"added={daemon.base / 'b'}" in reload(daemon)
    await_file(two.base / "b/file", b"b")
    folders["two"]["b"] |= {"file_mode": "0600", "symlinks": "none"}
    two.options = {"shared_folders": list(folders["two"].values())}
    reload(two)
    (one.base / "b/more").write_text("more")
    await_file(two.base / "b/more", b"more")
    assert os.stat(two.base / "b/more").st_mode & 0o777 == 0o600
    two.options = {"shared_folders": [folders["two"]["b"]]}
    assert f"removed={two.base / 'a'}" in reload(two)
    (one.base / "a/later").write_text("a")
    (one.base / "b/later").write_text("b")
    await_file(two.base / "b/later", b"b")
    assert not (two.base / "a/later").exists()
    assert [item["dir"] for item in two.get("/v1/status")[1]["folders"]] == [str(two.base / "b")]
    assert two.stop() == 0
