"""Nodes that begin again: without their index, with an old one, from one image, or as a new container each time."""

import os
import shutil
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.core import guard
from syncd.node.status import status_document
from tests.lab.cluster import snapshot
from tests.lab.inside import Inside
from tests.lab.meeting import agree, archived, leave, part, running

KILLED = 7  # each so many-th of them ends in the middle of its first sync
IMAGES = 20


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the folder. Bursts end soon."""
    monkeypatch.setattr(guard, "QUIET", 0.1)
    return generate_secret(os.urandom(32))


def populate(tree: Path, number: int = 20) -> None:
    (tree / "uploads").mkdir()
    for item in range(number):
        (tree / f"uploads/{item}").write_bytes(b"content %d" % item * 50)
    (tree / "large").write_bytes(os.urandom(200_000))


def conflicts(inside: Inside) -> int:
    return inside.folder.standing.facts.totals.conflicts


def indexes(base: Path) -> list[Path]:
    return list((base / "state").glob("folders/*/index.sqlite3*"))


async def test_an_index_that_is_deleted(tmp_path: Path, secret: str) -> None:
    """Nothing is deleted, equal contents are no conflict, and what was done elsewhere meanwhile counts."""
    one = Inside(tmp_path / "one", secret)
    populate(one.tree)
    two = Inside(tmp_path / "two", secret)
    async with running(one):
        async with two.running(settled=False):
            await two.join(one)
            await agree(one, two)
            await leave(two, one)
        (one.tree / "uploads/1").write_bytes(b"edited meanwhile")
        (one.tree / "uploads/2").unlink()
        (two.tree / "uploads/3").unlink()
        for file in indexes(tmp_path / "two"):
            file.unlink()
        await one.folder.watching.rescan()
        expected = snapshot(one.tree)
        two = Inside(tmp_path / "two", secret)
        async with two.running(settled=False):
            await two.join(one)
            await agree(one, two)
            assert snapshot(two.tree) == expected == snapshot(one.tree)
            assert conflicts(one) == conflicts(two) == 0
            assert b"content 2" * 50 in archived(two)


@pytest.mark.parametrize("what", ["state", "index"])
async def test_an_index_that_is_older_than_the_files(tmp_path: Path, secret: str, what: str) -> None:
    """What was written since the copy was made stays, also what no peer has."""
    one = Inside(tmp_path / "one", secret)
    populate(one.tree)
    two = Inside(tmp_path / "two", secret)
    async with running(one):
        async with two.running(settled=False):
            await two.join(one)
            await agree(one, two)
            await leave(two, one)
        shutil.copytree(tmp_path / "two/state", tmp_path / "copy/state")
        two = Inside(tmp_path / "two", secret)
        async with two.running(settled=False):
            (two.tree / "since").write_bytes(b"published since")
            (two.tree / "uploads/1").write_bytes(b"edited since")
            await two.join(one)
            await agree(one, two)
            await part(one, two)
            (two.tree / "alone").write_bytes(b"published to nobody")
            await two.folder.watching.rescan()
        if what == "state":
            shutil.rmtree(tmp_path / "two/state")
            shutil.copytree(tmp_path / "copy/state", tmp_path / "two/state")
        else:
            for file in indexes(tmp_path / "two"):
                file.unlink()
            for file in indexes(tmp_path / "copy"):
                shutil.copy2(file, tmp_path / "two" / file.relative_to(tmp_path / "copy"))
        expected = snapshot(two.tree)
        two = Inside(tmp_path / "two", secret)
        async with two.running(settled=False):
            await two.join(one)
            await agree(one, two)
            assert snapshot(two.tree) == expected == snapshot(one.tree)
            assert conflicts(one) == conflicts(two) == 0


@pytest.mark.parametrize("times", [9, pytest.param(100, marks=pytest.mark.heavy)])
async def test_a_container_that_is_rebuilt_again_and_again(tmp_path: Path, secret: str, times: int) -> None:
    """Each time it is a new node with nothing, some are killed at once: the holder loses nothing, and nothing piles
    up in it: peers, addresses to dial, authors, records, the index.
    """
    holder = Inside(tmp_path / "holder", secret)
    populate(holder.tree)
    before = snapshot(holder.tree)

    async def container(number: int) -> None:
        base = tmp_path / str(number)
        new = Inside(base, secret)
        async with new.running(settled=False):
            await new.join(holder)
            if number % KILLED:
                await new.reach(lambda: new.in_sync)
                assert snapshot(new.tree) == before
            await leave(new, holder)
        assert not holder.folder.peers.all()
        shutil.rmtree(base)

    def sizes() -> dict[str, int]:
        document = status_document(holder.folder.node, "", 0.0, [holder.folder])
        rows = holder.shop.index.span(b"", None, 1_000)
        return {
            "peers": len(document["folders"][0]["peers"]),
            "dialled": len(holder.folder.finding.dialer.targets),
            "authors": len(holder.shop.ledger.replica.counters()),
            "records": sum(len(record.raw) for row in rows for record in row.state),
            "index": holder.shop.index.size,
            "alarms": len(holder.folder.troubles.alarms) + len(holder.folder.troubles.offences),
        }

    async with holder.running():
        root = holder.root
        await container(1)
        after_one = sizes()
        for number in range(2, times + 1):
            await container(number)
        assert sizes() == after_one
        assert after_one["peers"] == after_one["alarms"] == 0
        assert holder.root == root
        assert snapshot(holder.tree) == before


async def test_containers_of_one_image(tmp_path: Path, secret: str) -> None:
    """Its state was baked in: each is somebody else, nobody publishes anything, all of them work."""
    hub = Inside(tmp_path / "hub", secret)
    populate(hub.tree, 5)
    async with hub.running():
        image = Inside(tmp_path / "image", secret)
        async with image.running(settled=False):
            await image.join(hub)
            await agree(hub, image)
            await leave(image, hub)
        root, before = hub.root, snapshot(hub.tree)
        containers = []
        for number in range(IMAGES):
            shutil.copytree(tmp_path / "image", tmp_path / str(number), symlinks=True)
            containers.append(Inside(tmp_path / str(number), secret))
        ids = {inside.identity.node_id for inside in (hub, image, *containers)}
        assert len(ids) == IMAGES + 2
        async with running(*containers[:1]), running(*containers[1:]):
            for inside in containers:
                await inside.join(hub)
            await agree(hub, *containers)
            assert len(hub.folder.peers.all()) == IMAGES
            assert hub.root == root
            assert snapshot(hub.tree) == before
            for number, inside in enumerate(containers[:3]):
                (inside.tree / f"from-{number}").write_bytes(b"%d" % number)
            await agree(hub, *containers)
            assert {b"from-0", b"from-1", b"from-2"} <= snapshot(hub.tree).keys()
            assert conflicts(hub) == 0
            assert len({inside.shop.ledger.replica.actor for inside in (hub, image, *containers)}) == IMAGES + 2
