"""The real applier, killed, without power or refused at any of its calls: each path is old or new in full."""

import errno
from random import Random

import pytest

from protocol.record import Kind
from syncd.store import directories
from syncd.store.applier import Outcome
from syncd.store.changes import DIRECTORY_MODE
from tests.sim.disk.machine import TOP, Machine, damages, random_tree
from tests.sim.disk.script import WRITING
from tests.sim.disk.system import SimOS
from tests.store.disturbances import outcomes, staged
from tests.store.test_applier_trouble import check_restart
from tests.store.trees import Folder, Tree, directory_entry, file_entry, link_entry, plan

CASES = 300
CALLS = 150  # about as many as the longest batches have

CHANGING = WRITING - {"chown"}
LOOKING = {"open", "read", "stat", "scandir", "fsync", "syncfs"}


def without_metadata(tree: Tree) -> Tree:
    """Kinds and contents only."""
    return {path: (kind, data, 0, 0) for path, (kind, data, _, _) in tree.items()}


def tolerated(before: Tree, after: Tree, found: Tree) -> Tree:
    """What was found, with metadata that is half done taken for done.

    A directory is made 0700 and opened up afterwards, and mode and mtime of a file are set by two calls. Neither is
    published where the index still lags: the judgement takes no change of metadata alone for an edit then.
    """
    result = dict(found)
    for path, (kind, data, mode, _) in found.items():
        old, new = before.get(path), after.get(path)
        if kind is Kind.DIR and mode == 0o700 and new is not None and new[0] is Kind.DIR:
            result[path] = new
        if kind is Kind.FILE and old is not None and new is not None and old[:2] == new[:2] == (kind, data):
            result[path] = new
    return result


@pytest.mark.parametrize("power_cut", [False, True], ids=["killed", "power cut"])
@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
def test_each_path_is_old_or_new(power_cut: bool, ordered: bool) -> None:
    """Where attributes have no order with names (no common file system does that), only contents are promised."""
    died = 0
    for seed in range(CASES):
        random = Random(seed)
        before, after = random_tree(random), random_tree(random)
        machine = Machine(seed, ordered=ordered)
        with machine.running():
            machine.prepare(before)
            died += machine.applied_until(after, random.randrange(CALLS))
            machine.start(power_cut=power_cut)
            found = tolerated(before, after, machine.folder.tree())
            trees = (before, after, found) if ordered else map(without_metadata, (before, after, found))
            wrong = damages(*trees, machine.archived())
            assert not wrong, f"seed {seed}: {wrong}\n" + "\n".join(machine.trace)
            assert set(outcomes(machine.apply(after))) <= {Outcome.DONE}
            assert machine.folder.tree() == after, f"seed {seed}"
    assert died > CASES // 3


@pytest.mark.parametrize("call", ["fsync", "sync_file_system"])
def test_a_forgotten_sync_is_seen(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimOS, call, lambda system, fd: None)
    with pytest.raises(AssertionError, match="seed"):
        test_each_path_is_old_or_new(power_cut=True, ordered=True)


def test_what_was_flushed_survives() -> None:
    for seed in range(CASES // 3):
        random = Random(seed)
        before, after = random_tree(random), random_tree(random)
        machine = Machine(seed, ordered=False)
        with machine.running():
            machine.prepare(before)
            assert set(outcomes(machine.apply(after))) <= {Outcome.DONE}
            machine.folder.applier.flush()
            machine.start(power_cut=True)
            assert machine.folder.tree() == after, f"seed {seed}"


def test_what_was_not_flushed_may_be_undone_but_not_damaged() -> None:
    """A batch that is done is in the tree, not yet on the disk; see test_reboot.py for what follows from that."""
    undone = 0
    for seed in range(CASES // 3):
        random = Random(seed)
        before, after = random_tree(random), random_tree(random)
        machine = Machine(seed)
        with machine.running():
            machine.prepare(before)
            machine.apply(after)
            machine.start(power_cut=True)
            found = machine.folder.tree()
            assert not damages(before, after, tolerated(before, after, found), machine.archived())
            undone += found != after
    assert undone


def test_errors_at_any_call_do_no_damage() -> None:
    """A job that failed leaves what was there; directories above others may be there without their own job."""
    failed = 0
    for seed in range(CASES):
        random = Random(seed)
        before, after = random_tree(random), random_tree(random)
        machine = Machine(seed)
        with machine.running():
            machine.prepare(before)
            jobs = plan(machine.folder, machine.folder.seen_tree(), after)
            machine.watch()
            code = random.choice((errno.EIO, errno.ENOSPC, errno.EACCES, errno.EDQUOT, errno.EROFS))
            calls = CHANGING if code != errno.EIO else CHANGING | LOOKING
            machine.disk.script.fail(code, calls, after=random.randrange(60), times=random.choice((1, 2, None)))
            results = machine.folder.apply(*jobs, durable=True)
            machine.disk.script.heal()
            machine.disk.script.hooks.clear()
            found = tolerated(before, after, machine.folder.tree())
            for result in results:
                if result.outcome is Outcome.DONE:
                    assert found.get(result.path) == after.get(result.path), f"seed {seed}"
            failed += any(outcome is not Outcome.DONE for outcome in outcomes(results))
            for path, (kind, _, mode, _) in found.items():
                if (kind, mode) == (Kind.DIR, DIRECTORY_MODE) and path not in before and path in after:
                    found[path] = after[path]
            wrong = damages(before, after, found, machine.archived())
            assert not wrong, f"seed {seed}: {wrong}\n" + "\n".join(machine.trace)
            machine.start(power_cut=False)
            assert set(outcomes(machine.apply(after))) <= {Outcome.DONE}
            assert machine.folder.tree() == after, f"seed {seed}"
    assert failed > CASES // 10


@pytest.mark.parametrize("way", ["exchange", "links", "steps"])
def test_killed_at_every_call(way: str) -> None:
    call = 0
    while killed_at(call, way):
        call += 1
    assert call > 60


def killed_at(call: int, way: str) -> bool:
    """A batch with everything in it, killed. Whether it came to this call."""
    machine = Machine(0, supports_rename_flags=way == "exchange")
    with machine.running():
        folder = machine.folder
        for name in (b"replaced", b"removed", b"linked"):
            folder.write(name, b"old " + name, 0o640)
        folder.apply_one(b"directory", None, directory_entry())
        rows = folder.seen_tree()
        file, want = staged(folder, b"large" * 20_000)
        jobs = [
            folder.job(b"replaced", rows[b"replaced"], want, file),
            folder.job(b"removed", rows[b"removed"], None),
            folder.job(b"linked", rows[b"linked"], link_entry(b"x")),
            folder.job(b"directory", rows[b"directory"], file_entry(b"1"), b"1"),
            folder.job(b"new/file", None, file_entry(b"2"), b"2"),
        ]
        if way == "steps":
            machine.disk.script.fail(errno.EPERM, "link", times=None)
        died = machine.runs_until(jobs, call)
        machine.system.restart(machine.disk)
        machine.folder = Folder(TOP, draw=machine.random.randbytes)
        check_restart(machine.folder, way)
    return died


def test_a_seed_tells_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "TRUST_SECONDS", 1e9)  # by the clock, a slow run walks to a directory once more
    traces = []
    for _ in range(2):
        random, machine = Random(7), Machine(7)
        with machine.running():
            machine.prepare(random_tree(random))
            machine.applied_until(random_tree(random), CALLS)
            machine.start(power_cut=True)
            traces.append((machine.trace, machine.folder.tree()))
    assert traces[0] == traces[1]
    assert len(traces[0][0]) > 50
