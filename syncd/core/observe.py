"""What is on the disk against what was last seen there and what is shown: which differences are users' edits."""

from collections.abc import Sequence
from typing import NamedTuple

from protocol.edit import Entry, same_content
from protocol.merge import State, winner
from protocol.paths import to_key, to_path
from protocol.record import Kind
from syncd.core.events import Observation
from syncd.core.index import Disk, Index, Row
from syncd.core.planner import entry, has_siblings, is_directory, is_refused
from syncd.core.policy import Policy
from syncd.core.scene import Scene


class Sight(NamedTuple):
    """A path that was looked at."""

    key: bytes
    disk: Disk | None  # what is there
    entry: Entry | None  # the same, less local policy
    before: Entry | None  # what was last seen there, less local policy
    want: Entry | None  # what is shown there
    refused: bool  # whether what is shown is never made here, or what was seen there is never touched


def look(
    index: Index, policy: Policy, scene: Scene, observations: Sequence[Observation], *, alone: bool = False
) -> list[Sight]:
    """All that was observed and takes part, in order of keys.

    The last observation of a path counts. Where a directory was seen and is no more, nothing is below any more; alone:
    that is not said.
    """
    latest = {to_key(item.path): item.disk for item in observations}
    scene.load_with_ancestors(latest)
    for key, disk in list(latest.items()):
        if not alone and is_directory(entry(scene.row(key))) and not (disk and is_directory(disk.entry)):
            for below in index.seen_below(key):
                latest.setdefault(below, None)
    scene.load_with_ancestors(latest)
    sights = []
    for key in sorted(latest):
        disk, path = latest[key], to_path(key)
        if policy.ignored(path, is_directory(disk.entry if disk else entry(scene.row(key)))):
            continue
        want, before = scene.shown(key), entry(scene.row(key))
        sights.append(
            Sight(
                key,
                disk,
                policy.normalise(disk.entry, want) if disk else None,
                policy.normalise(before, want) if before else None,
                want,
                is_refused(policy, path, want) or policy.too_large(before),
            )
        )
    return sights


def is_edit(index: Index, row: Row, sight: Sight) -> bool:
    """Whether what changed at a path since it was last seen is a user's edit that is to be published.

    If the disk lags behind what is shown, the user could not see that: then a chmod of the old content gives way to
    what is shown. A deletion is published if it dismisses anything that the user saw; never where something is shown
    that is refused here, so that nobody saw it, or where what is gone took no part. A user who by chance makes a path
    what is shown there says nothing, but for one thing: that the content which was there before is no more.
    """
    before, after, want = sight.before, sight.entry, sight.want
    if after == before:
        return False
    if after == want:
        return _was_given_up(index, row, sight)
    if after is None and sight.refused:
        return False
    if after is None:
        return before is not None and any(record.live for record in concerned(row, sight))
    if before == want:
        return True
    if same_content(after, before):
        return False
    if same_content(after, want) or same_content(after, winner(row.state)):
        return _was_given_up(index, row, sight)
    return True


def _was_given_up(index: Index, row: Row, sight: Sight) -> bool:
    """Whether a content that still counts, though hidden or a loser, was here, is no more, and not by our doing.

    Somebody may have to fetch it one day. If no other node has it, everybody would wait for it for ever.
    """
    return not same_content(sight.before, sight.entry) and counts(index, row, sight.before)


def counts(index: Index, row: Row, before: Entry | None) -> bool:
    """Whether what was seen at a path is a content that somebody may have to fetch, and that is not kept here."""
    if before is None or before.kind != Kind.FILE:
        return False
    alive = any(record.live and same_content(record, before) for record in row.state)
    return alive and not index.archived(before.content)


def concerned(row: Row, sight: Sight) -> State:
    """The records that an edit is about: all that is known at the path, unless the user cannot have seen all of it.

    Where another content is shown by now, or siblings came while the disk was not looked at, a deletion, or what makes
    the path what is shown anyway, is about the content that was there, and nothing else. It must not be held back
    altogether: the bytes are gone here, and if no other node has them, everybody would wait for them for ever.
    """
    before, after = sight.before, sight.entry
    if before is None:
        return row.state
    if after is None:
        in_step = same_content(before, sight.want) and not has_siblings(row.state, before)
        if row.need is None or in_step:
            return row.state
    elif before == sight.want or not (same_content(after, sight.want) or same_content(after, winner(row.state))):
        return row.state
    return tuple(record for record in row.state if record.live and same_content(record, before))
