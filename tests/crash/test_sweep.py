"""A daemon is killed, or refused once, at some calls of every kind; `python -m tests.crash.sweep --all` takes all."""

import random
from collections.abc import Iterator

import pytest

from tests.crash.faults import KINDS, REFUSED, Fault, need_strace
from tests.crash.stage import Stage
from tests.crash.sweep import count, spread

KILLS = {"rename": 2, "pwrite": 3, "sync": 2}  # calls of a kind at which it is killed, one of the others


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    need_strace()
    with Stage(tmp_path_factory.mktemp("sweep"), 3) as stage:
        yield stage


@pytest.fixture(scope="module")
def counts(stage: Stage) -> dict[str, int]:
    found = count(stage)
    assert all(found.values()), f"a round without calls of some kind: {found}"
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_killed(stage: Stage, counts: dict[str, int], kind: str) -> None:
    met = [stage.suffer(Fault(kind, k)) for k in spread(counts[kind], KILLS.get(kind, 1), random.Random(kind))]
    assert any(met)


@pytest.mark.parametrize(("kind", "error"), [(kind, ("ENOSPC", "EIO")[n % 2]) for n, kind in enumerate(REFUSED)])
def test_refused_once(stage: Stage, counts: dict[str, int], kind: str, error: str) -> None:
    (k,) = spread(counts[kind], 1, random.Random(error + kind))
    stage.suffer(Fault(kind, max(k, counts[kind] // 2), error))
