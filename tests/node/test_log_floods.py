"""Log lines: no cause fills the log."""

import pytest
import structlog

from syncd.node.logs import LINES_PER_WINDOW, WINDOW, Flood


def test_an_event_that_comes_too_often_is_counted_instead_of_logged() -> None:
    now = 0.0
    flood = Flood(lambda: now)

    def logged(event: str, count: int) -> list[dict[str, object]]:
        lines = []
        for number in range(count):
            try:
                lines.append(flood(None, "warning", {"event": event, "peer": number}))
            except structlog.DropEvent:
                continue
        return lines

    assert len(logged("peer dropped", 1_000)) == LINES_PER_WINDOW
    assert len(logged("alarm", 3)) == 3, "another cause is not silenced"
    now += WINDOW
    first, second = logged("peer dropped", 2)
    assert first["unsaid"] == 1_000 - LINES_PER_WINDOW
    assert "unsaid" not in second


@pytest.mark.parametrize("method", ["info", "warning", "error"])
def test_lines_now_and_then_are_all_logged(method: str) -> None:
    now = 0.0
    flood = Flood(lambda: now)
    for _ in range(100):
        event = {"event": "connected"}
        assert flood(None, method, event) == event
        now += 2 * WINDOW / LINES_PER_WINDOW
