"""Records of peers: merged into the manifest, within its limits."""

from collections.abc import Sequence

from protocol.merge import State, merge
from protocol.paths import display, to_key, to_path
from protocol.record import Dot, Record
from syncd.core.publish import Turn, fits


def take_in(turn: Turn, records: Sequence[Record]) -> list[Dot]:
    """Merge `records`; turn.news are the keys whose states changed.

    Returns the dots that two different records claim since now: an index was rolled back and nobody noticed. Both are
    kept.
    """
    arrived: dict[bytes, list[Record]] = {}
    for record in records:
        arrived.setdefault(to_key(record.path), []).append(record)
    turn.scene.load_with_ancestors(arrived)
    twins: list[Dot] = []
    for key, news in arrived.items():
        known = turn.scene.state(key)
        merged = merge(known, tuple(news))
        if merged is not known and len(merged) > 1:
            merged = _bounded(turn, key, known, merged, news)
            twins += _new_twins(turn, known, merged)
        if merged is not known:
            turn.scene.put_state(key, merged)
            turn.news.append(key)
    return twins


def _bounded(turn: Turn, key: bytes, known: State, merged: State, news: list[Record]) -> State:
    """`merged`, or as much of it as a path may hold."""
    if fits(merged):
        return merged
    for record in news:
        more = merge(known, (record,))
        known = more if fits(more) else known
    turn.alarms.append(f"records refused: too many at one path: {display(to_path(key))}")
    return known


def _new_twins(turn: Turn, known: State, merged: State) -> list[Dot]:
    if len({record.dot for record in merged}) == len(merged):
        return []
    dots = [record.dot for record in merged]
    twins = sorted({record.dot for record in merged if record not in known and dots.count(record.dot) > 1})
    for actor, counter in twins:
        where = display(merged[0].path)
        turn.alarms.append(f"two records claim event {counter} of actor {actor.hex()}, both are kept: {where}")
    return twins
