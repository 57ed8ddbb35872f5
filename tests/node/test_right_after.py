"""What users do to a file in the instant in which it was placed is done to that file: an edit of it, or its removal."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.core import guard
from syncd.store import placing, planter
from tests.lab.inside import Inside
from tests.lab.meeting import agree, running


def edit(path: Path) -> None:
    path.write_bytes(b"edited")


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(b"edited")
    path.with_name("other").rename(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.fixture(params=[edit, replace, remove])
def act(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """What is done. Bursts of removals end soon."""
    monkeypatch.setattr(guard, "QUIET", 0.1)
    return request.param  # type: ignore[no-any-return]


def on_move(patch: pytest.MonkeyPatch, module: object, path: Path, act: Callable[[Path], None]) -> list[Path]:
    """Have it done as soon as the path has come by a rename. Returns a list that has the path until then."""
    real, pending = module.move_to_free_name, [path]  # type: ignore[attr-defined]

    def move(*arguments: object) -> None:
        real(*arguments)
        if pending and pending[0].exists():
            act(pending.pop())

    patch.setattr(module, "move_to_free_name", move)
    return pending


@pytest.mark.parametrize("name", ["file", "directory/file"])
async def test_on_a_fresh_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None], name: str
) -> None:
    """Though a fresh index takes nothing that it finds for an edit: this file it has placed itself."""
    secret = generate_secret(os.urandom(32))
    one, two = (Inside(tmp_path / base, secret) for base in ("one", "two"))
    (one.tree / "directory").mkdir()
    (one.tree / name).write_bytes(b"as it came")
    pending = on_move(monkeypatch, planter, two.tree / name, act)
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        assert not pending
        assert two.folder.standing.facts.totals.conflicts == 0
        assert not (one.tree / name).exists() if act is remove else (one.tree / name).read_bytes() == b"edited"


async def test_on_a_settled_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]) -> None:
    secret = generate_secret(os.urandom(32))
    one, two = (Inside(tmp_path / base, secret) for base in ("one", "two"))
    (one.tree / "before").write_bytes(b"before")
    async with running(one, two):
        await two.join(one)
        await agree(one, two)
        pending = on_move(monkeypatch, placing, two.tree / "file", act)
        (one.tree / "file").write_bytes(b"as it came")
        await two.reach(lambda: not pending)
        await agree(one, two)
        assert two.folder.standing.facts.totals.conflicts == 0
        assert not (one.tree / "file").exists() if act is remove else (one.tree / "file").read_bytes() == b"edited"
