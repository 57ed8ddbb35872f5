"""Disks that refuse one kind of call for a while: nothing ends, nothing is claimed that is not so, and it passes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faults import REFUSED, need_strace
from tests.crash.stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    need_strace()
    base: Path = tmp_path_factory.mktemp("lasting")
    with Stage(base, 5) as stage:
        yield stage


@pytest.mark.root  # to trace a process that runs already
@pytest.mark.parametrize(("kind", "error"), [(kind, ("EIO", "ENOSPC")[n % 2]) for n, kind in enumerate(REFUSED)])
def test_a_disk_that_refuses_for_a_while(stage: Stage, kind: str, error: str) -> None:
    stage.suffer_while_running(kind, error)
