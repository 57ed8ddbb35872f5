"""The replica and users: which changes of a disk it publishes, and as what."""

import pytest

from protocol import limits
from protocol.merge import conflicts, winner
from protocol.record import Kind
from syncd.core import publish
from syncd.core.events import CROWDED, Applied, Dismiss, Observation, Observed, Settle
from tests.core.bench import NOW, PROOF, Author, Bench, FakePolicy, directory, file, in_step, link
from tests.core.index_contract import IndexContract
from tests.fakes.memory_index import MemoryIndex


class TestMemoryIndex(IndexContract):
    @pytest.fixture
    def index(self):
        return MemoryIndex()


# ---- users' edits


def test_what_users_make_is_published_signed_and_stored():
    bench = Bench()
    effects = bench.see({b"d": directory(), b"d/f": file(1), b"l": link(b"x")})
    assert bench.said(effects) == [(Kind.DIR, b"d"), (Kind.FILE, b"d/f"), (Kind.LINK, b"l")]
    assert [record.dot for record in effects.published] == [(bench.replica.actor, n) for n in (1, 2, 3)]
    assert [bench.state(record.path) for record in effects.published] == [(record,) for record in effects.published]
    assert bench.signer.signed == [(bench.replica.actor, effects.published)]
    assert bench.index.proofs([effects.published[0].proof]) == {effects.published[0].proof: PROOF}
    assert (effects.news, effects.needs, effects.alarms, effects.resume) == ([], False, [], None)
    assert bench.needs() == []


def test_what_is_unchanged_is_not_published():
    bench = in_step({b"f": file(1)})
    assert bench.see({b"f": file(1), b"g": None}).published == []
    assert bench.row(b"f").disk.inode == bench.index.rows([b"f"])[b"f"].disk.inode
    assert bench.row(b"g").disk is None


def test_chmod_and_touch_keep_the_content_dot():
    bench = in_step({b"f": file(1)})
    for changed in (file(1, mode=0o600), file(1, mode=0o600, mtime=9)):
        (record,) = bench.see({b"f": changed}).published
        assert record.content_dot == (bench.replica.actor, 1)
        assert (record.mode, record.mtime) == (changed.mode, changed.mtime)
        assert bench.state(b"f") == (record,)


def test_a_deletion_is_published_once():
    bench = in_step({b"f": file(1)})
    assert bench.said(bench.see({b"f": None})) == [(Kind.DELETE, b"f")]
    assert bench.see({b"f": None}).published == []
    assert bench.row(b"f").disk is None


def test_an_implied_directory_is_nothing_to_delete():
    bench = Bench()
    bench.receive(Author(1).edit(b"d/f", file(1)))
    bench.apply_all()
    assert bench.said(bench.see({b"d": None, b"d/f": None})) == [(Kind.DELETE, b"d/f")]
    assert bench.needs() == []


def test_a_removed_directory_takes_all_that_was_seen_below_it():
    bench = in_step({b"d": directory(), b"d/e": directory(), b"d/e/f": file(1), b"d.x": file(2)})
    effects = bench.see({b"d": None})
    assert bench.said(effects) == [(Kind.DELETE, b"d"), (Kind.DELETE, b"d/e"), (Kind.DELETE, b"d/e/f")]
    assert bench.needs() == []


def test_a_directory_becomes_a_file():
    bench = in_step({b"d": directory(), b"d/f": file(1)})
    effects = bench.see({b"d": file(2)})
    assert bench.said(effects) == [(Kind.FILE, b"d"), (Kind.DELETE, b"d/f")]
    assert bench.needs() == []


def test_a_file_becomes_a_directory_with_something_in_it():
    bench = in_step({b"d": file(1)})
    effects = bench.see({b"d/f": file(2), b"d": directory()})
    assert bench.said(effects) == [(Kind.DIR, b"d"), (Kind.FILE, b"d/f")]
    assert bench.needs() == []
    assert len(bench.state(b"d")) == 1


def test_the_last_observation_of_a_path_counts():
    bench = Bench()
    looks = bench.looks({b"f": file(1)}) + bench.looks({b"f": file(2)})
    (record,) = bench.handle(Observed(looks)).published
    assert record.content == file(2).content


def test_ignored_paths_are_neither_published_nor_needed():
    bench = Bench(policy=FakePolicy(ignore=[b"cache"]))
    assert bench.see({b"cache": directory(), b"cache/x": file(1)}).published == []
    assert bench.index.all_rows() == []
    effects = bench.receive(Author(1).edit(b"cache/y", file(2)))
    assert effects.news == [b"cache\0y"]
    assert bench.needs() == []
    assert bench.see({b"cache": None}).published == []


def test_a_mode_of_local_policy_is_no_change():
    bench = in_step({b"f": file(1)}, policy=FakePolicy(fixed_modes=True))
    assert bench.see({b"f": file(1, mode=0o600)}).published == []
    assert bench.row(b"f").disk.entry == file(1, mode=0o600), "what is really there, so that it is not hashed again"
    assert bench.needs() == []
    assert bench.said(bench.see({b"f": file(2, mode=0o600)})) == [(Kind.FILE, b"f")]
    assert bench.state(b"f")[0].mode == file(1).mode


def test_a_sibling_is_spared_by_an_edit_and_dismissed_by_a_deletion():
    bench = in_step({b"f": file(1)})
    bench.receive(Author(1).edit(b"f", file(2), stamp=1))
    (edit,) = bench.see({b"f": file(3)}).published
    assert {r.content for r in bench.state(b"f")} == {file(2).content, file(3).content}
    assert edit.spares == {(b"\1" * 8, 1)}
    bench.see({b"f": None})
    assert [record.kind for record in bench.state(b"f")] == [Kind.DELETE]


def with_unseen_sibling(path=b"f", entry=None):
    """A bench whose disk holds what is shown, and a sibling that came since that was looked at."""
    bench = in_step({path: entry or file(1)})
    effects = bench.receive(Author(1).edit(path, file(2), stamp=1))
    assert effects.needs
    return bench


def test_a_deletion_does_not_dismiss_what_came_while_nobody_looked():
    bench = with_unseen_sibling()
    (sibling,) = [record for record in bench.state(b"f") if record.content == file(2).content]
    assert bench.said(bench.see({b"f": None})) == [(Kind.DELETE, b"f")]
    assert sibling in bench.state(b"f")
    assert file(1).content not in {record.content for record in bench.state(b"f")}
    assert bench.plan() == [(b"f", file(2))]


def test_a_deletion_dismisses_what_was_there_when_somebody_looked():
    bench = with_unseen_sibling()
    assert bench.plan() == [(b"f", file(1))]
    (action,) = bench.replica.plan([b"f"])
    assert bench.handle(Applied([Observation(b"f", action.expect)]))[:5] == ([], [], False, [], None)
    assert bench.needs() == []
    assert bench.said(bench.see({b"f": None})) == [(Kind.DELETE, b"f")]
    assert [record.kind for record in bench.state(b"f")] == [Kind.DELETE]


def test_what_is_not_shown_is_remembered_until_it_is_gone():
    bench = with_unseen_sibling()
    assert bench.index.losing(b"", 9) == [b"f"]
    bench.see({b"f": None})
    bench.see({b"f": file(2)})
    assert bench.index.losing(b"", 9) == []
    bench.receive(Author(2).edit(b"f\0x".replace(b"\0", b"/"), file(3)))
    assert bench.index.losing(b"", 9) == [b"f"], "a file that a directory hides"


def test_an_ignored_path_has_no_losers():
    bench = in_step({b"cache": directory()}, policy=FakePolicy(ignore=[b"cache"]))
    bench.receive(Author(1).edit(b"cache", file(2)))
    assert bench.index.losing(b"", 9) == []


def test_an_unseen_sibling_is_no_obstacle_to_edits():
    for seen in (file(3), file(1, mode=0o600)):
        bench = with_unseen_sibling()
        assert bench.said(bench.see({b"f": seen})) == [(Kind.FILE, b"f")]
        assert {record.content for record in bench.state(b"f")} == {seen.content, file(2).content}
        assert bench.needs() == []


def test_a_file_hidden_by_a_directory_is_an_unseen_sibling():
    bench = with_unseen_sibling(b"d", directory())
    assert bench.said(bench.see({b"d": None})) == [(Kind.DELETE, b"d")]
    assert bench.plan() == [(b"d", file(2))]


def test_what_was_shown_before_and_is_shown_again_has_to_be_looked_at():
    bench = in_step({b"d": directory()})
    rival = Author(1).edit(b"d", file(2), stamp=NOW + 9)
    bench.receive(rival)
    assert bench.plan() == [(b"d", file(2))]
    bench.receive(Author(2).edit(b"d/f", file(3)))
    assert bench.plan() == [(b"d", directory()), (b"d/f", file(3))]
    assert bench.said(bench.see({b"d": None})) == [(Kind.DELETE, b"d")]
    assert rival in bench.state(b"d")


def test_a_deletion_of_what_is_no_longer_shown_dismisses_just_that():
    bench = in_step({b"f": file(1)})
    bench.receive(Author(1).edit(b"f", file(2), stamp=NOW + 9))
    assert bench.plan() == [(b"f", file(2))]
    assert bench.said(bench.see({b"f": None})) == [(Kind.DELETE, b"f")]
    assert {record.content for record in bench.state(b"f")} == {file(2).content, b""}
    assert bench.plan() == [(b"f", file(2))]


def test_without_a_rival_nothing_has_to_be_looked_at():
    bench = in_step({b"f": file(1)})
    new = Author(1).edit(b"f", file(2), bench.state(b"f"), file(1), stamp=NOW + 1)
    bench.receive(new)
    bench.receive(Author(1).edit(b"f", file(1), (new,), file(2), stamp=NOW + 2))
    assert bench.needs() == []
    assert bench.said(bench.see({b"f": None})) == [(Kind.DELETE, b"f")]


def test_a_read_only_node_looks_at_nothing_again():
    bench, author = Bench(read_only=True), Author(1)
    bench.receive(author.edit(b"f", file(1)))
    bench.apply_all()
    bench.receive(Author(2).edit(b"f", file(2), stamp=1))
    assert bench.needs() == []


# ---- edits of a disk that lags

V1, V2 = file(1), file(2)
TOUCHED = file(2, mode=0o600)


@pytest.mark.parametrize(
    ("shown", "seen", "published"),
    [
        (V2, file(3), Kind.FILE),  # a new content is an edit
        (V2, directory(), Kind.DIR),
        (V2, None, None),  # what was removed was something else
        (V2, file(1, mode=0o600), None),  # a chmod of something outdated
        (V2, file(1, mtime=5), None),
        (V2, V2, None),  # the same content came by another way
        (V2, TOUCHED, None),
        (None, file(3), Kind.FILE),
        (None, file(1, mode=0o600), None),
        (None, None, None),
        (file(1, mode=0o600), file(3), Kind.FILE),  # only the metadata lag
        (file(1, mode=0o600), None, Kind.DELETE),
        (file(1, mode=0o600), file(1, mtime=5), None),
        (directory(), file(3), Kind.FILE),
        (directory(), None, None),
        (directory(), directory(0o700), None),
    ],
)
def test_an_edit_of_something_outdated_covers_what_was_seen(shown, seen, published):
    bench = in_step({b"f": V1})
    base = bench.state(b"f")
    update = Author(1).edit(b"f", shown, base, V1, stamp=NOW + 100)
    bench.receive(update)
    assert bench.needs() == [b"f"]
    effects = bench.see({b"f": seen})
    assert [record.kind for record in effects.published] == ([] if published is None else [published])
    if published in (Kind.FILE, Kind.DIR):
        assert winner(bench.state(b"f")) is effects.published[0]
        assert [r for r in bench.state(b"f") if r is not effects.published[0]] == (
            [] if shown is None or shown.content == V1.content else [update]
        )
    current = effects.published[0] if effects.published else update
    wanted = None if current.kind == Kind.DELETE else (current.kind, current.content, current.mode)
    held = seen and (seen.kind, seen.content, seen.mode)
    assert (bench.needs() == [b"f"]) == (wanted != held)


def test_a_hidden_file_on_the_disk_is_adopted():
    bench = in_step({b"d": V1})
    file_there = Author(1).edit(b"d", V2, bench.state(b"d"), V1, stamp=NOW + 1)
    bench.receive(file_there, Author(2).edit(b"d/x", file(9)))
    assert bench.see({b"d": V2}).published == []
    assert bench.plan() == [(b"d", directory()), (b"d/x", file(9))]


def hidden_below_life(entry=V1):
    """A bench whose disk holds a file where a directory is shown, because somebody else put something below it."""
    bench = in_step({b"d": entry})
    bench.receive(Author(2).edit(b"d/x", file(9)))
    return bench


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_file_given_up_for_the_directory_that_is_shown_is_waited_for_by_nobody(mode):
    bench = hidden_below_life()
    effects = bench.see({b"d": directory(mode)})
    assert bench.said(effects) == [(Kind.DIR, b"d")]
    assert [record.kind for record in bench.state(b"d")] == [Kind.DIR]
    assert bench.needs() == [b"d/x"]


def test_a_content_given_up_for_the_one_that_won_is_waited_for_by_nobody():
    bench = in_step({b"f": V1})
    rival = Author(1).edit(b"f", V2, stamp=NOW + 9)
    bench.receive(rival)
    effects = bench.see({b"f": V2})
    assert bench.said(effects) == [(Kind.FILE, b"f")]
    assert {record.content for record in bench.state(b"f")} == {V2.content}
    assert conflicts(bench.state(b"f")) == []


def test_a_hidden_file_that_is_removed_is_waited_for_by_nobody():
    bench = Bench()
    bench.receive(Author(1).found(b"f/g", V1))
    bench.apply_all()
    bench.receive(Author(2).edit(b"f", V2))
    assert bench.plan() == [(b"f/g", None), (b"f", V2)]
    assert bench.said(bench.see({b"f/g": None})) == [(Kind.DELETE, b"f/g")]
    assert [record.kind for record in bench.state(b"f/g")] == [Kind.DELETE]


def test_what_lies_in_the_archive_was_not_given_up_by_a_user():
    bench = hidden_below_life()
    bench.index.archive = {V1.content}
    assert bench.see({b"d": directory()}).published == []
    assert [record.content for record in bench.state(b"d")] == [V1.content]


def test_a_link_that_gives_way_keeps_its_record():
    bench = hidden_below_life(link(b"x"))
    assert bench.see({b"d": directory()}).published == []


def test_both_survive_where_a_peer_was_first():
    bench = Bench()
    bench.receive(Author(1).edit(b"f", V1))
    (mine,) = bench.see({b"f": V2}).published
    assert winner(bench.state(b"f")) is mine
    assert [record.content for record in conflicts(bench.state(b"f"))] == [V1.content]


# ---- what cannot be published


@pytest.mark.parametrize(
    ("path", "entry"),
    [(b"f", file(1, mtime=1 << 63)), (b"f", file(1, mtime=1 << 70)), (b"a//b", file(1)), (b".syncd", file(1)),
     (b"/".join([b"x" * 255] * 17), file(1))],
)  # fmt: skip
@pytest.mark.parametrize("fresh", [False, True])
def test_what_no_peer_would_accept_is_not_published(path, entry, fresh):
    bench = Bench(fresh=fresh)
    effects = bench.see({path: entry})
    if fresh:
        effects = bench.handle(Settle(b""))
    assert effects.published == []
    assert len(effects.alarms) == 1
    assert bench.signer.signed == []
    assert fresh or bench.row(path).disk is None


def test_no_further_sibling_at_a_crowded_path():
    bench = Bench()
    crowd = [Author(n).edit(b"f", file(n)) for n in range(1, limits.MAX_SIBLINGS + 1)]
    bench.receive(*crowd)
    bench.apply_all()
    effects = bench.see({b"f": file(1000)})
    assert effects.published == []
    assert "siblings" in effects.alarms[0]
    assert [(problem.path, problem.operation) for problem in effects.problems] == [(b"f", CROWDED)]
    assert bench.row(b"f").disk.entry == file(64)  # so the user's bytes are not taken for what may be displaced
    assert bench.handle(Dismiss(b"f")).problems == []
    assert bench.said(bench.see({b"f": file(1000)})) == [(Kind.FILE, b"f")]
    assert bench.said(bench.see({b"f": None})) == [(Kind.DELETE, b"f")]


def test_a_fresh_index_adds_no_sibling_to_a_crowd():
    bench = Bench(fresh=True)
    bench.see({b"f": file(1000)})
    bench.receive(*[Author(n).edit(b"f", file(n)) for n in range(1, limits.MAX_SIBLINGS + 1)])
    effects = bench.handle(Settle(b""))
    assert effects.published == []
    assert "siblings" in effects.alarms[0]


def test_a_record_that_is_too_long(monkeypatch):
    monkeypatch.setattr(publish, "MAX_RECORD", 50)
    effects = Bench().see({b"f": file(1)})
    assert (effects.published, len(effects.alarms)) == ([], 1)


def test_what_neighbours_change_overtakes_actions_under_way():
    bench = in_step({})
    bench.receive(Author(1).edit(b"a", file(1)))
    assert bench.needs() == [b"a"]
    effects = bench.receive(Author(2).edit(b"a/b", file(2)))
    assert effects.news == [b"a\0b"]
    assert effects.overtaken == [b"a"]
