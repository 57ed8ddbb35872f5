"""Most files of a folder rewritten within minutes: counted, and told once."""

from syncd.core.rewrites import MOST_COUNTED, MOST_FIRST, QUIET, WINDOW, Judgement, Rewrites


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


# ---- held


def gather(rewrites: Rewrites, number: int, now: float = 0.0, start: int = 0) -> None:
    rewrite(rewrites, number, now, start)
    rewrites.gather([b"%d" % n for n in range(start, start + number)], now)


def test_a_few_go_at_once() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, 10)
    assert rewrites.few(100, 0.0), "a tenth of what would be too many"
    rewrite(rewrites, 1, start=10)
    assert not rewrites.few(100, 0.0)
    assert rewrites.few(100, WINDOW)
    rewrite(rewrites, MOST_FIRST + 1, WINDOW)
    assert not rewrites.few(1_000_000, WINDOW)


def test_what_is_gathered_is_judged_when_no_more_come() -> None:
    rewrites = Rewrites()
    assert rewrites.due is None
    gather(rewrites, 10, 1.0)
    assert rewrites.due == 1.0 + QUIET
    gather(rewrites, 20, 4.0)
    gather(rewrites, 20, 5.0)  # nothing new
    assert rewrites.due == 4.0 + QUIET
    for second in range(4, 400):
        gather(rewrites, 1, float(second), start=second + 100)
    assert rewrites.due == 1.0 + WINDOW
    rewrites.forget(b"0")
    assert not rewrites.waits(b"0")
    assert rewrites.waits(b"1")
    assert len(rewrites.judge(10_000, 400.0).release) == 19 + 396
    assert rewrites.due is None


def test_most_files_are_held_and_so_is_what_follows() -> None:
    rewrites = Rewrites()
    rewrite(rewrites, 400)  # published at once
    gather(rewrites, 399, 10.0, start=400)
    assert rewrites.judge(1_000, 15.0) == Judgement(sorted(b"%d" % n for n in range(400, 799)), [])
    gather(rewrites, 1, 20.0, start=799)
    assert rewrites.judge(1_000, 25.0) == Judgement([], [b"799"])
    gather(rewrites, 1, 30.0, start=800)
    assert rewrites.judge(1_000, 35.0) == Judgement([], [b"800"])
    gather(rewrites, 1, 20.0 + WINDOW, start=801)
    assert rewrites.judge(1_000, 25.0 + WINDOW) == Judgement([b"801"], [])


def test_the_word_of_the_operator_is_about_what_was_judged() -> None:
    rewrites = Rewrites()
    gather(rewrites, 900)
    rewrites.judge(1_000, 1.0)
    gather(rewrites, 5, 2.0, start=900)
    assert rewrites.too_many(1_000, 2.0)
    rewrites.forgive()
    assert not rewrites.too_many(1_000, 2.0)
    assert rewrites.judge(1_000, 3.0).hold == []


def test_a_node_that_stops_waits_for_no_more() -> None:
    rewrites = Rewrites()
    rewrites.hasten()
    assert rewrites.due is None
    gather(rewrites, 5, 2.0)
    assert rewrites.due == 2.0
    rewrites.judge(1_000, 2.0)
    gather(rewrites, 5, 3.0, start=5)
    assert rewrites.due == 3.0 + QUIET


def test_what_takes_much_memory_is_judged_at_once() -> None:
    rewrites = Rewrites()
    gather(rewrites, MOST_COUNTED, 1.0)
    assert rewrites.due == 1.0
    assert len(rewrites.judge(MOST_COUNTED * 10, 1.0).hold) == MOST_COUNTED
