"""A daemon that may have 150 MiB: what hostile peers say to it costs nobody but them."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from protocol import limits
from protocol.messages import AskRecords, Get
from tests.hostile import test_bombs as bombs
from tests.hostile import test_floods as floods
from tests.hostile.peer import Rogue
from tests.hostile.target import MIB, Target
from tests.lab.cgroup import CannotLimit, Cgroup, memory_limit
from tests.lab.machine import cannot_run

pytestmark = pytest.mark.root

LIMIT = 150 * MIB
ATTACKS: list[Callable[[Target], None]] = [
    floods.test_blocks_by_the_thousand_that_nobody_takes,
    floods.test_manifests_that_nobody_takes,
    floods.test_pings_whose_answers_nobody_takes,
    floods.test_pushes_that_nobody_takes,
    floods.test_requests_without_end,
    floods.test_long_requests_without_end,
    floods.test_what_a_peer_can_make_us_remember_is_bounded,
    floods.test_a_thousand_connections_with_requests,
    bombs.test_a_body_that_never_comes,
    bombs.test_compressed_bodies_that_lie,
    bombs.test_a_read_full_of_compressed_messages,
    bombs.test_structures_that_lie_about_their_size,
    bombs.test_small_contents_that_nobody_needs_are_not_hoarded,
]


@pytest.fixture(scope="module")
def group() -> Iterator[Cgroup]:
    try:
        with memory_limit(LIMIT) as group:
            yield group
    except CannotLimit as error:
        cannot_run(str(error))


@pytest.fixture(scope="module")
def target(group: Cgroup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    target = Target.start(tmp_path_factory.mktemp("limited"), group.prefix)
    with target.cluster:
        assert target.victim.process is not None
        assert target.victim.process.pid in group.processes
        yield target


@pytest.fixture(autouse=True)
def _unharmed(target: Target, group: Cgroup) -> Iterator[None]:
    yield
    assert group.kills == 0
    assert target.victim.process is not None
    assert target.victim.process.poll() is None


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.removeprefix("test_"))
def test_no_attack_takes_more(target: Target, attack: Callable[[Target], None]) -> None:
    attack(target)


def test_several_at_once(target: Target) -> None:
    """Four that do not read what they ask for, and two that ask faster than can be served."""
    with contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(floods.deaf(target, target.reader())) for _ in range(4)]
        loud = [stack.enter_context(target.rogue(target.reader())) for _ in range(2)]
        ids = floods.large_blocks(target, deaf[0])
        keys = tuple(sorted(os.urandom(4_000) for _ in range(200)))
        missing = tuple(os.urandom(32) for _ in range(limits.MAX_IDS_PER_GET))

        def ask(rogue: Rogue) -> None:
            floods.pour(rogue, (Get(n + 1, 0, b"", ids * 10) for n in range(2_000)), 10)

        def shout(rogue: Rogue) -> None:
            floods.pour(rogue, (AskRecords(n + 1, b"", None, keys) for n in range(200)), 1)
            floods.pour(rogue, (Get(n + 1, 0, b"", missing) for n in range(2_000)), 20)

        threads = [threading.Thread(target=ask, args=(rogue,)) for rogue in deaf]
        threads += [threading.Thread(target=shout, args=(rogue,)) for rogue in loud]
        for thread in threads:
            thread.start()
        target.check()
        for thread in threads:
            thread.join()
        target.check()
