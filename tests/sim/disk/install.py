"""Putting a SimOS below code under test, and taking it away again."""

import fcntl
import importlib
import os
import pkgutil
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from inotify_simple import INotify

import syncd.store
from syncd.store import syscalls
from tests.sim.disk.convenience import SimShutil, SimTempfile, opener, paths_of
from tests.sim.disk.inotify import inotify_of
from tests.sim.disk.system import SimOS

_ON_THE_MACHINE = {"syncd.store.index", "syncd.store.index_database"}  # SQLite opens its files itself


def store_modules() -> list[ModuleType]:
    """The modules of the product that reach the tree."""
    names = [f"syncd.store.{module.name}" for module in pkgutil.iter_modules(syncd.store.__path__)]
    names += ["syncd.node.holdings", "syncd.node.workshop"]
    return [importlib.import_module(name) for name in names if name not in _ON_THE_MACHINE]


@contextmanager
def installed(
    system: SimOS, modules: Iterable[ModuleType] | None = None, random: Random | None = None
) -> Iterator[SimOS]:
    """Give modules (default: those of the store) this system for `os`, `fcntl` and the C library.

    random: also where names of temps and archived items come from, so that a run is repeatable.
    """
    replaced: list[tuple[Any, str, Any]] = []

    def replace(place: Any, name: str, value: Any) -> None:
        replaced.append((place, name, getattr(place, name)))
        setattr(place, name, value)

    stand_ins: list[tuple[str, Any, Any]] = [
        ("os", os, system),
        ("fcntl", fcntl, system.fcntl),
        ("INotify", INotify, inotify_of(system)),
    ]
    if random is not None:
        stand_ins.append(("secrets", secrets, SimSecrets(random)))
    try:
        for module in store_modules() if modules is None else modules:
            for name, real, stand_in in stand_ins:
                if getattr(module, name, None) is real:
                    replace(module, name, stand_in)
        replace(syscalls, "_renameat2", system.syscalls.renameat2)
        replace(syscalls, "_syncfs", system.syscalls.syncfs)
        replace(syscalls, "_fallocate", system.syscalls.fallocate)
        replace(syscalls, "_statx", system.syscalls.statx)
        yield system
    finally:
        for place, name, value in reversed(replaced):
            setattr(place, name, value)


@contextmanager
def beside(system: SimOS, modules: Iterable[ModuleType]) -> Iterator[None]:
    """Give modules of tests what they use beside `os`: the built-in open, shutil, pathlib's Path."""
    stand_ins = [
        ("shutil", shutil, SimShutil(system)),
        ("tempfile", tempfile, SimTempfile(system)),
        ("Path", Path, paths_of(system)),
    ]
    changed: list[tuple[ModuleType, str, Any]] = []
    for module in modules:
        for name, real, stand_in in stand_ins:
            if getattr(module, name, None) is real:
                changed.append((module, name, real))
                setattr(module, name, stand_in)
        module.open = opener(system)  # type: ignore[attr-defined]
        changed.append((module, "open", None))
    try:
        yield
    finally:
        for module, name, real in changed:
            if real is None:
                delattr(module, name)
            else:
                setattr(module, name, real)


class SimSecrets:
    """`secrets` from a seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def token_hex(self, count: int) -> str:
        return self._random.randbytes(count).hex()


assert sys.byteorder == "little", "statx is laid out for it"
