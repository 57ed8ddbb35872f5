"""SimOS below the store and below its tests, which reach into the tree with the same calls."""

import importlib
import os
import pkgutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

import tests.store
from tests.sim.disk.convenience import paths_of
from tests.sim.disk.install import beside, installed, store_modules
from tests.sim.disk.system import SimOS
from tests.store.conftest import exchanges, folder, way

__all__ = ["exchanges", "folder", "way"]

TOP = "/simulated"
ON_THE_MACHINE = {
    "test_many_watches_are_removed_in_slices": "counts watches in /proc",
    "test_killed_at_any_step": "forks; test_power.py kills at every call",
    "test_other_failures_of_the_lock_are_told": "replaces fcntl.flock itself",
    "test_special_files_are_skipped_with_a_reason": "binds a socket",
    "test_gone_subtrees_and_replaced_ones": "runs rm",
    "test_what_became_special_is_unknown_not_gone": "runs rm",
    "test_what_is_ignored_is_never_gone": "runs rm",
    "test_a_mounted_file_system_is_unknown": "mounts",
}  # tests that reach the tree by other means than os, and by which
_BESIDE = {"test_contents", "test_syscalls", "test_watch_polling"}


@pytest.fixture(scope="session")
def system() -> SimOS:
    """The clock is the machine's, as the tests compare with it."""
    system = SimOS(time.time_ns)
    system.mount(TOP)
    return system


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if getattr(item, "originalname", item.name) not in ON_THE_MACHINE]


@pytest.fixture(autouse=True)
def _simulated(system: SimOS) -> Iterator[None]:
    modules = [
        importlib.import_module(f"tests.store.{module.name}")
        for module in pkgutil.iter_modules(tests.store.__path__)
        if module.name not in _BESIDE
    ]
    with installed(system, [*store_modules(), *modules]), beside(system, modules):
        yield
    system.disks[os.fsencode(TOP)].script.heal()


class _Places:
    """As tmp_path_factory."""

    def __init__(self, system: SimOS) -> None:
        self._system = system
        self._number = 0

    def mktemp(self, name: str) -> Any:
        self._number += 1
        path = paths_of(self._system)(f"{TOP}/{name}-{self._number}")
        path.mkdir()
        return path


@pytest.fixture(scope="session")
def tmp_path_factory(system: SimOS) -> _Places:
    return _Places(system)


@pytest.fixture
def tmp_path(tmp_path_factory: _Places) -> Any:
    return tmp_path_factory.mktemp("test")
