"""What a unit is to become as a whole: every path in it, what the disk has there, and what it shall have."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from protocol.edit import Entry
from protocol.paths import to_key, to_path
from protocol.record import Kind
from syncd.core.index import Disk, Index
from syncd.core.planner import is_directory
from syncd.core.scene import Scene
from syncd.core.units import MOST_PATHS


class Part(NamedTuple):
    """A path of a unit. have: what the index last saw there. want: what it shall become; equal to what is there if
    not needed.
    """

    path: bytes
    have: Disk | None
    want: Entry | None
    needed: bool


class Turn(Enum):
    """What becomes of the unit's directory."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"
    NONE = "none"  # nothing is needed any more
    SINGLY = "singly"  # it cannot be treated as one: path by path, as elsewhere


class UnitPlan(NamedTuple):
    """parts: in the order of keys, the unit's own directory first."""

    unit: bytes
    turn: Turn
    parts: list[Part]


def plan_unit(index: Index, scene: Scene, unit: bytes, holds: Callable[[bytes], bool]) -> UnitPlan:
    """How to bring a unit to what the manifest shows. holds(key): whether something is held back there or below."""
    key = to_key(unit)
    rows = index.span(key, key + b"\x01", MOST_PATHS + 1)
    if not any(row.need is not None for row in rows):
        return UnitPlan(unit, Turn.NONE, [])
    if len(rows) > MOST_PATHS or rows[0].key != key or holds(key):
        return UnitPlan(unit, Turn.SINGLY, [])
    scene.load([row.key for row in rows])
    parts = []
    for row in rows:
        have = row.disk.entry if row.disk is not None else None
        want = scene.shown(row.key) if row.need is not None else have
        if have is not None or want is not None or row.need is not None:
            parts.append(Part(to_path(row.key), row.disk, want, row.need is not None))
    return UnitPlan(unit, _turn(unit, parts), parts)


def _turn(unit: bytes, parts: list[Part]) -> Turn:
    top = parts[0]
    is_there, shall_be = is_directory(top.have.entry if top.have else None), is_directory(top.want)
    directories = {part.path for part in parts if is_directory(part.want)}
    stray = any(
        part.want is not None and part.path != unit and part.path.rpartition(b"/")[0] not in directories
        for part in parts
    )
    if top.path != unit or stray or (not is_there and top.have is not None) or not (is_there or shall_be):
        return Turn.SINGLY
    if not shall_be:
        # What takes the directory's place, a file say, comes by itself.
        return Turn.GONE if top.want is None and all(part.want is None for part in parts) else Turn.SINGLY
    return Turn.CHANGED if is_there else Turn.NEW


def contents_wanted(plan: UnitPlan) -> dict[bytes, int]:
    """The contents that files of the unit get which have another one now, and how many files get each."""
    found: dict[bytes, int] = {}
    for part in plan.parts:
        if brings_content(part):
            assert part.want is not None
            found[part.want.content] = found.get(part.want.content, 0) + 1
    return found


def brings_content(part: Part) -> bool:
    """Whether a file at the part's path gets another content than it has."""
    if part.want is None or part.want.kind is not Kind.FILE:
        return False
    return part.have is None or (part.have.entry.kind, part.have.entry.content) != (Kind.FILE, part.want.content)
