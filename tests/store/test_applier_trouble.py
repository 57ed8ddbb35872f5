"""Full disks, failed syncs, power cuts, and whom things belong to."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.record import Kind
from syncd.store import syscalls
from syncd.store.applier import Job, Outcome
from syncd.store.parents import LocalPolicy
from tests.store.disturbances import (
    check_quiet,
    failing,
    needs_root,
    outcomes,
    staged,
)
from tests.store.trees import (
    NOBODY,
    Folder,
    directory_entry,
    file_entry,
    link_entry,
)

# ---- trouble


def test_one_failure_does_not_stop_the_others(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if data == b"bad":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    jobs = [folder.job(data, None, file_entry(data), data) for data in (b"one", b"bad", b"two")]
    results = folder.apply(*jobs)
    assert outcomes(results) == [Outcome.DONE, Outcome.FAILED, Outcome.DONE]
    problem = results[1].problem
    assert problem is not None
    assert (problem.path, problem.operation, problem.reason) == (b"bad", "write", os.strerror(errno.ENOSPC))
    assert set(folder.tree()) == {b"one", b"two"}
    check_quiet(folder)


@pytest.mark.parametrize("k", range(1, 9))
def test_a_disk_that_is_full_from_the_kth_write_on(folder: Folder, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"old", b"old")
    seen = folder.seen(b"old")
    calls = [0]

    def limited(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] >= k:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        return call

    for name in ("write", "mkdir", "symlink"):
        monkeypatch.setattr(os, name, limited(getattr(os, name)))
    results = folder.apply(
        folder.job(b"d/f", None, file_entry(b"1"), b"1"),
        folder.job(b"old", seen, file_entry(b"2"), b"2"),
        folder.job(b"l", None, link_entry(b"x")),
        folder.job(b"e", None, directory_entry()),
    )
    monkeypatch.undo()
    assert set(outcomes(results)) <= {Outcome.DONE, Outcome.FAILED}
    assert folder.read(b"old") in (b"old", b"2")
    for result in results:
        if result.outcome is Outcome.DONE:
            assert result.disk == folder.seen(result.path)
    check_quiet(folder)


def test_short_writes_are_continued(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    folder.create(b"f", b"0123456789")
    assert folder.read(b"f") == b"0123456789"


@pytest.mark.parametrize("step", ["fchmod", "utime"])
@pytest.mark.parametrize("kind", ["file", "link", "staged", "copy"])
def test_a_temp_that_cannot_be_finished_is_removed(
    folder: Folder, step: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, want = staged(folder, b"1" * 100_000)
    jobs = {
        "file": [folder.job(b"f", None, file_entry(b"1"), b"1")],
        "link": [folder.job(b"f", None, link_entry(b"1"))],
        "staged": [folder.job(b"f", None, want, file)],
        "copy": [folder.job(b"f", None, want, file), folder.job(b"g", None, want, file)],
    }[kind]
    monkeypatch.setattr(os, step, failing(errno.EIO))
    results = folder.apply(*jobs)
    if (kind, step) != ("link", "fchmod"):
        assert outcomes(results) == [Outcome.FAILED] * len(jobs)
    check_quiet(folder, file.name)


def test_a_directory_that_cannot_be_placed_leaves_no_temp(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"f", b"1")
    seen = folder.seen(b"f")
    monkeypatch.setattr(syscalls, "rename", failing(errno.EPERM))
    result = folder.apply_one(b"f", seen, directory_entry())
    assert result.outcome is Outcome.FAILED
    assert folder.read(b"f") == b"1"
    check_quiet(folder)


def test_a_directory_whose_contents_cannot_be_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"d/f", b"")
    seen = folder.seen(b"d")
    monkeypatch.setattr("syncd.store.applier.names_in", failing(errno.EACCES))
    result = folder.apply_one(b"d", seen, None)
    assert result.outcome is Outcome.WAITS
    assert result.problem is not None
    assert result.problem.reason == "not empty"


def test_errors_of_opening_for_metadata_are_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(b"f", b"1")
    seen = folder.seen(b"f")
    monkeypatch.setattr(os, "open", failing(errno.EIO))
    assert folder.apply_one(b"f", seen, file_entry(b"1", 0o600)).outcome is Outcome.FAILED


# ---- power cuts


class Journal:
    """Notes the order of what matters to a power cut."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for place, name, label in (
            (os, "write", "write"), (os, "fchmod", "write"), (os, "utime", "write"), (os, "symlink", "write"),
            (os, "fsync", "sync"), (syscalls, "sync_file_system", "sync all"),
            (os, "rename", "rename"), (syscalls, "rename", "rename"),
        ):  # fmt: skip
            patch.setattr(place, name, self._noted(getattr(place, name), label))

    def _noted(self, real: Callable[..., Any], label: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(label)
            return real(*arguments, **options)

        return call


def some_jobs(folder: Folder, count: int) -> list[Job]:
    folder.write(b"old", b"old")
    jobs = [folder.job(b"f%d" % n, None, file_entry(b"%d" % n), b"%d" % n) for n in range(count - 1)]
    return [*jobs, folder.job(b"old", folder.seen(b"old"), file_entry(b"new"), b"new")]


def test_a_batch_is_written_then_synced_then_renamed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [*some_jobs(folder, 6), folder.job(b"l", None, link_entry(b"x"))]
    journal = Journal(monkeypatch)
    assert outcomes(folder.apply(*jobs, durable=True)) == [Outcome.DONE] * 7
    assert journal.calls.count("sync all") == 1
    assert "sync" not in journal.calls
    synced = journal.calls.index("sync all")
    assert set(journal.calls[:synced]) == {"write"}
    assert set(journal.calls[synced + 1 :]) == {"rename"}


def test_a_small_batch_is_synced_file_by_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = some_jobs(folder, 3)
    journal = Journal(monkeypatch)
    assert outcomes(folder.apply(*jobs, durable=True)) == [Outcome.DONE] * 3
    assert journal.calls[:12] == ["write", "write", "write", "sync"] * 3
    assert set(journal.calls[12:]) == {"rename"}


def test_a_batch_that_need_not_be_durable_is_not_synced(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = some_jobs(folder, 6)
    journal = Journal(monkeypatch)
    folder.apply(*jobs)
    assert not {"sync", "sync all"} & set(journal.calls)


@pytest.mark.parametrize("count", [2, 6])
def test_a_sync_error_discards_the_batch(folder: Folder, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = some_jobs(folder, count)
    file, want = staged(folder, b"1" * 100_000)
    jobs = [folder.job(b"g", None, want, file), *jobs[1:], folder.job(b"d", None, directory_entry())]
    before = folder.tree()
    with monkeypatch.context() as patch:
        patch.setattr(syscalls, "sync_file_system", failing(errno.EIO))
        patch.setattr(os, "fsync", failing(errno.EIO))
        results = folder.apply(*jobs, durable=True)
    if count > 3:
        assert outcomes(results) == [Outcome.FAILED] * len(jobs)
        assert folder.tree() == before
        assert file.closed
        check_quiet(folder)
    else:
        assert outcomes(results) == [Outcome.FAILED] * (len(jobs) - 1) + [Outcome.DONE]
        assert file.closed
        check_quiet(folder)
    assert folder.read(b"old") == b"old"


def test_without_syncfs_every_file_is_synced(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [*some_jobs(folder, 6), folder.job(b"l", None, link_entry(b"x"))]
    monkeypatch.setattr(syscalls, "sync_file_system", failing(errno.ENOSYS))
    journal = Journal(monkeypatch)
    assert outcomes(folder.apply(*jobs, durable=True)) == [Outcome.DONE] * 7
    assert journal.calls.count("sync") == 6


@pytest.mark.parametrize(("directories", "calls"), [(2, ["sync"] * 2), (20, ["sync all"])])
def test_flush_syncs_what_was_renamed(
    folder: Folder, directories: int, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [folder.job(b"%d/f" % number, None, file_entry(b"x"), b"x") for number in range(directories - 1)]
    assert folder.applier.durable
    assert outcomes(folder.apply(*jobs)) == [Outcome.DONE] * len(jobs)
    assert not folder.applier.durable
    with monkeypatch.context() as patch:
        patch.setattr(syscalls, "sync_file_system", failing(errno.EIO))
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            folder.applier.flush()
    assert not folder.applier.durable
    journal = Journal(monkeypatch)
    folder.applier.flush()
    assert journal.calls == calls
    assert folder.applier.durable
    folder.applier.flush()
    assert journal.calls == calls


def test_the_next_batch_makes_the_renames_of_the_last_one_durable(folder: Folder) -> None:
    jobs = [folder.job(b"%d" % number, None, file_entry(b"x"), b"x") for number in range(6)]
    folder.apply(*jobs[:1], durable=True)
    assert not folder.applier.durable
    folder.apply(*jobs[1:], durable=True)
    folder.applier.flush()
    assert folder.applier.durable


STEPS = (
    (os, "open"), (os, "write"), (os, "fchmod"), (os, "utime"), (os, "mkdir"), (os, "symlink"), (os, "rename"),
    (os, "link"), (os, "unlink"), (os, "rmdir"), (os, "chmod"), (syscalls, "rename"),
)  # fmt: skip


def dies(folder: Folder, jobs: list[Job], k: int) -> bool:
    """Have another process carry out jobs, and die like one that is killed at its k-th step. Whether it got there."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    try:
        steps = [0]

        def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                steps[0] += 1
                if steps[0] == k:
                    os._exit(9)
                return real(*arguments, **options)

            return call

        for place, name in STEPS:
            setattr(place, name, deadly(getattr(place, name)))
        folder.apply(*jobs)
    finally:
        os._exit(0)


def test_killed_at_any_step(tmp_path: Path, way: str) -> None:
    """Each path is old or new in full; what was displaced is in the archive; the next start cleans up."""
    for k in range(1, 200):
        folder = Folder(str(tmp_path / str(k)))
        for name in (b"replaced", b"removed", b"linked"):
            folder.write(name, b"old " + name, 0o640)
        os.mkdir(folder.at(b"directory"))
        rows = folder.seen_tree()
        file, want = staged(folder, b"large" * 20_000)
        jobs = [
            folder.job(b"replaced", rows[b"replaced"], want, file),
            folder.job(b"removed", rows[b"removed"], None),
            folder.job(b"linked", rows[b"linked"], link_entry(b"x")),
            folder.job(b"directory", rows[b"directory"], file_entry(b"1"), b"1"),
            folder.job(b"new/file", None, file_entry(b"2"), b"2"),
        ]
        died = dies(folder, jobs, k)
        check_restart(folder, way)
        folder.close()
        shutil.rmtree(folder.path)
        if not died:
            assert k > 20
            return
    raise AssertionError("it never ended")


def check_restart(folder: Folder, way: str) -> None:
    folder.staging.close()
    folder.staging.clean(())
    adopted = folder.archive.adopt(())
    check_quiet(folder)
    tree = folder.tree()
    kept = set(folder.archived_of([item for item in adopted if item.kind is Kind.FILE]))
    for name, after in ((b"replaced", b"large" * 20_000), (b"linked", b"x"), (b"removed", None)):
        live = tree[name][1] if name in tree else None
        assert live in (b"old " + name, after) or (live is None and way == "steps")
        assert live == b"old " + name or b"old " + name in kept
    if b"directory" in tree or way == "exchange":
        assert tree[b"directory"][:2] in ((Kind.DIR, b""), (Kind.FILE, b"1"))
    assert tree.get(b"new/file", (0, b"2"))[1] == b"2"
    assert set(tree) <= {b"replaced", b"removed", b"linked", b"directory", b"new", b"new/file"}


@needs_root
def test_new_entries_belong_to_whom_the_directory_belongs(folder: Folder) -> None:
    os.mkdir(folder.at(b"d"))
    os.chown(folder.at(b"d"), NOBODY, 1234)
    folder.write(b"d/old", b"1")
    os.chown(folder.at(b"d/old"), 77, 78)
    folder.apply(
        folder.job(b"d/e/f", None, file_entry(b"1"), b"1"),
        folder.job(b"d/l", None, link_entry(b"1")),
        folder.job(b"d/old", folder.seen(b"d/old"), file_entry(b"2"), b"2"),
        folder.job(b"top", None, file_entry(b"1"), b"1"),
    )
    owners = {path: os.lstat(folder.at(path)) for path in folder.tree()}
    assert {path: (status.st_uid, status.st_gid) for path, status in owners.items()} == {
        b"d": (NOBODY, 1234), b"d/e": (NOBODY, 1234), b"d/e/f": (NOBODY, 1234), b"d/l": (NOBODY, 1234),
        b"d/old": (77, 78), b"top": (0, 0),
    }  # fmt: skip


@needs_root
def test_owner_group_and_modes_that_are_asked_for(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "root"), LocalPolicy(NOBODY, 1234, 0o640, 0o750))
    result = folder.apply_one(b"d/f", None, file_entry(b"1", 0o777), b"1")
    assert result.disk == folder.seen(b"d/f")
    for path, mode in ((b"d", 0o750), (b"d/f", 0o640)):
        status = os.stat(folder.at(path))
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (NOBODY, 1234, mode)
    again = folder.apply_one(b"d/f", result.disk, file_entry(b"1", 0o600, 9))
    assert again.disk is not None
    assert (again.disk.entry.mode, again.disk.entry.mtime) == (0o640, 9)
    folder.close()


@needs_root
@pytest.mark.parametrize("asked", [False, True])
def test_an_owner_that_cannot_be_given(tmp_path: Path, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path / "root"), LocalPolicy(owner=NOBODY) if asked else LocalPolicy())
    os.chown(folder.path, 77, 78)
    for name in ("chown", "fchown"):
        monkeypatch.setattr(os, name, failing(errno.EPERM))
    results = folder.apply(folder.job(b"f", None, file_entry(b"1"), b"1"), folder.job(b"d", None, directory_entry()))
    assert outcomes(results) == [Outcome.FAILED if asked else Outcome.DONE] * 2
    check_quiet(folder)
    folder.close()


@needs_root
def test_a_read_only_directory_of_ones_own_is_opened_for_the_batch(folder: Folder) -> None:
    folder.write(b"d/old", b"1")
    os.mkdir(folder.at(b"e"))
    os.chmod(folder.at(b"d"), 0o2555)
    for directory, directories, files in os.walk(folder.path):
        for name in [b".", *directories, *files]:
            os.lchown(os.path.join(directory, name), NOBODY, os.getegid())
    seen = folder.seen_tree()
    os.seteuid(NOBODY)
    try:
        folder.root.in_place = lambda: True  # type: ignore[method-assign]  # its path is below a private directory
        results = folder.new_applier().apply(
            [
                folder.job(b"d/new", None, file_entry(b"1"), b"1"),
                folder.job(b"d/old", seen[b"d/old"], None),
                folder.job(b"d/sub/f", None, file_entry(b"1"), b"1"),
                folder.job(b"e", seen[b"e"], directory_entry(0o555)),
                folder.job(b"e/f", None, file_entry(b"1"), b"1"),
            ],
            durable=False,
        )
    finally:
        os.seteuid(0)
    assert outcomes(results) == [Outcome.DONE] * 5
    modes = {path: os.stat(folder.at(path)).st_mode & 0o7777 for path in (b"d", b"e")}
    assert modes == {b"d": 0o2555, b"e": 0o555}
    assert set(folder.tree()) == {b"d", b"d/new", b"d/sub", b"d/sub/f", b"e", b"e/f"}
