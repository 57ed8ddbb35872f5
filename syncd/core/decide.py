"""What an operator decides about a path, whatever its disk holds: which version is to be there, what is dismissed."""

from protocol.edit import Entry, same_content
from protocol.errors import LocalError
from protocol.merge import Liveness
from protocol.paths import ancestors, display, to_key
from protocol.record import Kind
from protocol.shown import losers
from syncd.core.events import Dismiss, Put
from syncd.core.policy import Policy
from syncd.core.publish import Publisher, Turn


class Refused(LocalError):
    """What was decided cannot be done; the message says why."""


def decide(turn: Turn, event: Put | Dismiss, policy: Policy, publisher: Publisher) -> None:
    """Publish a decision. Raises Refused; the transaction has to be undone then."""
    key, scene = to_key(event.path), turn.scene
    scene.load_with_ancestors([key])
    state, want = scene.state(key), scene.shown(key)
    where = display(event.path)
    if policy.ignored(event.path, want is not None and want.kind == Kind.DIR):
        raise Refused(f"{where} takes no part in replication here")
    if isinstance(event, Dismiss):
        if not losers(state, want):
            raise Refused(f"there is no conflict at {where}")
        after, over = want, state
    else:
        _refuse_obstacles(turn, event, want)
        after, over = event.entry, tuple(record for record in state if same_content(record, event.entry))
    if not publisher.edit(turn, key, state, want, after, frozenset(record.content_dot for record in over)):
        raise Refused(turn.alarms[-1])


def _refuse_obstacles(turn: Turn, event: Put, want: Entry | None) -> None:
    where = display(event.path)
    if want == event.entry:
        raise Refused(f"{where} is that version already")
    for above in ancestors(event.path):
        entry = turn.scene.shown(to_key(above))
        if entry is not None and entry.kind != Kind.DIR:
            raise Refused(f"{where} cannot be there: {display(above)} is no directory")
    if event.entry.kind != Kind.DIR and turn.scene.liveness_below(to_key(event.path)) > Liveness.DEAD:
        raise Refused(f"{where} is a directory that is not empty")
