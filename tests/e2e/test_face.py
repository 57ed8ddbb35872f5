"""The verbs against nodes that run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import PRIORITY, Cluster, Daemon, await_condition

LARGE = 60_000_000  # bytes: takes minutes at the limit below
SMALL = 1_000_000
SLOW = 400  # kB/s


def syncd(daemon: Daemon, *arguments: str, expect: int = 0) -> str:
    """What a verb prints."""
    done = daemon.verb(*arguments)
    assert done.returncode == expect, (done.stdout, done.stderr)
    return done.stdout


def await_needs(daemon: Daemon, paths: set[str]) -> None:
    """Until these are what the node needs: the classes are compared one after the other."""

    def needed() -> set[str]:
        return {item["path"] for item in daemon.get("/v1/need")[1]["folders"][0]["items"]}

    await_condition(lambda: needed() == paths, "the needs do not come")


@pytest.fixture
def lagging(cluster: Cluster) -> Daemon:
    """A node that needs two large files of another one, which come slowly."""
    full = cluster.add("full")
    for name in ("uploads/film.bin", "themes/font.bin"):
        path: Path = full.tree / name
        path.parent.mkdir()
        path.write_bytes(os.urandom(LARGE))
    full.start().wait_settled()
    slow = cluster.add(
        "slow", knows=[full], options={"download_limit": SLOW}, folder_options={"priority": PRIORITY}
    ).start()
    await_needs(slow, {"uploads/film.bin", "themes/font.bin"})
    slow.wait(state="syncing")
    return slow


def test_need_lists_what_is_missing_in_the_order_of_the_classes(lagging: Daemon) -> None:
    assert [line.split()[-1] for line in syncd(lagging, "need").splitlines()[1:]] == [
        "themes/font.bin",
        "uploads/film.bin",
    ]
    document = json.loads(syncd(lagging, "need", "--json", "--limit", "1"))["folders"][0]
    assert (document["need_files"], len(document["items"])) == (2, 1)
    assert document["items"][0]["class"] == "themes"
    document = json.loads(syncd(lagging, "need", "--json", "--class", "uploads"))["folders"][0]
    assert [item["path"] for item in document["items"]] == ["uploads/film.bin"]
    assert syncd(lagging, "folders").startswith(f"{lagging.tree}: syncing, read-write, 2 files, 120 MB, needs 2 files")
    syncd(lagging, "check")
    syncd(lagging, "check", "--class", "themes", expect=2)


@pytest.mark.heavy
def test_what_is_prioritized_comes_first(cluster: Cluster) -> None:
    full = cluster.add("full")
    for name, amount in (("uploads/[1] film.bin", SMALL), ("themes/font.bin", LARGE)):
        path = full.tree / name
        path.parent.mkdir()
        path.write_bytes(os.urandom(amount))
    full.start().wait_settled()
    options: dict[str, Any] = {"options": {"download_limit": SLOW}, "folder_options": {"priority": PRIORITY}}
    slow = cluster.add("slow", knows=[full], **options).start()
    await_needs(slow, {"uploads/[1] film.bin", "themes/font.bin"})
    assert "nothing that is missing matches" in syncd(slow, "prioritize", "/nothing/")
    assert slow.status()["prioritized"] == []
    film = slow.tree / "uploads/[1] film.bin"
    assert "1 path, 1.0 MB, before all else" in syncd(slow, "prioritize", str(film))
    assert slow.status()["prioritized"] == ["/uploads/\\[1\\]\\ film.bin"]
    need = syncd(slow, "need").splitlines()
    assert need[1].endswith("film.bin")
    await_condition(film.exists, "it does not come first")
    assert film.read_bytes() == (full.tree / "uploads/[1] film.bin").read_bytes()
    assert not (slow.tree / "themes/font.bin").exists()
    syncd(slow, "prioritize", "uploads/", "themes/")
    assert "in the usual order" in syncd(slow, "prioritize", "--clear")
    assert slow.status()["prioritized"] == []
    syncd(slow, "prioritize", expect=os.EX_USAGE)
    assert slow.get("/v1/prioritize?pattern=a//b", method="POST")[1]["error"].startswith("pattern 'a//b': ")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/need?limit=many", 400, "limit is a whole number from 0 to 10000"),
        ("/v1/need?limit=-1", 400, "limit is a whole number"),
        ("/v1/need?limit=99999999999999999999", 400, "limit is a whole number"),
        ("/v1/need?class=nothing", 404, "there is no class nothing; there are: rest"),
        ("/v1/need?folder=/nowhere", 404, "no folder /nowhere in this node"),
        ("/v1/archive?path=zz", 400, "path is missing, or not in hex"),
        ("/v1/archive?path=2e2e2f61", 400, ""),
    ],
)
def test_bad_parameters_are_told_in_a_sentence(alone: Daemon, path: str, status: int, words: str) -> None:
    code, answer = alone.get(path)
    assert code == status
    assert words in answer["error"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    with Cluster(tmp_path_factory.mktemp("alone")) as cluster:
        yield cluster.add("alone").start()


def test_the_control_socket_is_for_its_owner(alone: Daemon) -> None:
    assert (alone.storage / "control.sock").stat().st_mode & 0o777 == 0o600
