"""Wall clocks that are wrong: they never decide between an edit and what its author had seen."""

from protocol.merge import winner
from tests.core.bench import NOW, Author, Bench, file, in_step

YEAR = 365 * 86_400 * 1_000  # in units of NOW, ms


def test_an_edit_wins_over_one_of_a_clock_that_is_a_year_ahead():
    bench = Bench()
    first = Author(1).edit(b"f", file(2), stamp=NOW + YEAR)
    bench.receive(first)
    bench.apply_all()
    (second,) = bench.see({b"f": file(3)}, NOW).published
    assert second.stamp > first.stamp
    for state in (bench.state(b"f"), bench.merged(first, second), bench.merged(second, first)):
        assert winner(state) == second
        assert len(state) == 1, "it is no conflict"


def test_edits_apart_are_both_kept_whatever_the_clocks_say():
    bench = Bench()
    bench.see({b"f": file(3)}, NOW)
    bench.receive(Author(1).edit(b"f", file(2), stamp=NOW + YEAR))
    assert {record.content for record in bench.state(b"f")} == {file(2).content, file(3).content}


def test_a_clock_that_steps_back_takes_no_edit_back():
    bench = in_step({b"f": file(1)})
    (first,) = bench.see({b"f": file(2)}, NOW + YEAR).published
    (second,) = bench.see({b"f": file(3)}, NOW).published
    assert second.stamp > first.stamp
    assert winner(bench.merged(second, first)) == second
