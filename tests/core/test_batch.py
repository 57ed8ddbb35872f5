"""Changes become a batch when it has been quiet."""

from syncd.core.batch import LONGEST, MAX_PATHS, Paths, Quiet


def test_a_batch_is_due_when_it_has_been_quiet() -> None:
    quiet = Quiet(2.0)
    assert quiet.due is None
    for moment in (0.0, 1.5, 3.0):
        quiet.note(moment)
    assert quiet.due == 5.0
    quiet.begin()
    assert quiet.due is None
    quiet.note(4.0)
    assert quiet.due == 6.0


def test_changes_without_a_pause_are_a_batch_in_the_end() -> None:
    quiet = Quiet(2.0)
    for moment in range(1000):
        quiet.note(float(moment))
    assert quiet.due == LONGEST


def test_too_many_paths_are_not_listed() -> None:
    paths = Paths()
    assert not paths
    assert paths.add([b"%d" % number for number in range(MAX_PATHS)])
    assert not paths.add([b"1", b"2"])
    assert (len(paths.listed), paths.many) == (MAX_PATHS, False)
    assert paths.add([b"one more"])
    assert (paths.listed, paths.many) == (set(), True)
    assert not paths.add([b"and another"])
    assert paths
    assert Paths(many=True)
    assert Paths([b"x"])
