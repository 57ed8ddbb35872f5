"""Most files of a folder rewritten within minutes: counted, and told once."""

from syncd.core.rewrites import MOST_COUNTED, WINDOW, Rewrites


def rewrite(rewrites: Rewrites, number: int, now: float = 0.0, start: int = 0) -> None:
    for n in range(number):
        rewrites.note(b"%d" % (start + n), now)


def test_most_files_are_an_alarm_once() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, 799)
    assert rewrites.alarm(1_000, 0.0) is None
    rewrite(rewrites, 800)
    alarm = rewrites.alarm(1_000, 1.0)
    assert alarm is not None
    assert alarm.startswith("800 of 1000 files were rewritten here within 5 minutes")
    rewrite(rewrites, 900, 2.0)
    assert rewrites.alarm(1_000, 2.0) is None


def test_what_is_long_ago_does_not_count() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, 799)
    rewrite(rewrites, 400, WINDOW, start=500)
    assert rewrites.alarm(1_000, WINDOW) is None


def test_it_is_told_again_when_it_happens_again() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, 900)
    assert rewrites.alarm(1_000, 0.0) is not None
    assert rewrites.alarm(1_000, WINDOW) is None
    rewrite(rewrites, 900, WINDOW)
    assert rewrites.alarm(1_000, WINDOW) is not None


def test_one_file_that_is_written_all_the_time_is_one() -> None:
    rewrites = Rewrites()
    for second in range(250):
        rewrites.note(b"log", float(second))
    assert rewrites.alarm(110, 250.0) is None


def test_a_small_folder_may_change_as_a_whole() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, 99)
    assert rewrites.alarm(99, 0.0) is None


def test_memory_has_a_bound() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, MOST_COUNTED + 50)
    assert rewrites.alarm(MOST_COUNTED * 10, 0.0) is not None, "less than the share, and many all the same"
