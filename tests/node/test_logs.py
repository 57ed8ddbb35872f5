"""Log lines: one per event whatever is in it, text or JSON, also of libraries and of what nobody caught."""

import asyncio
import io
import json
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.keys import generate_secret
from protocol.paths import display
from syncd.config.settings import Log
from syncd.node import logs
from syncd.node.logs import MAX_TEXT, set_up_logging

EVIL = "a\x1b[31m\r\nINFO forged \"x\" 'y' = \u2028\u202e\x00\x85"


@pytest.fixture(params=["text", "json", "journald"])
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Reads the lines that were logged since the last call; each is checked."""
    for place, name in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(place, name, getattr(place, name))
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(logs, "LINES_PER_WINDOW", 1 << 30)
    before = logging.root.handlers[:], logging.root.level
    set_up_logging(Log("debug", request.param))
    structlog.configure(cache_logger_on_first_use=False)

    def read() -> list[str]:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        assert text == "" or text.endswith("\n")
        found = text.split("\n")[:-1]
        for line in found:
            assert line.isprintable(), line
            if request.param == "json":
                assert {"event", "level", "timestamp"} <= set(json.loads(line))
            if request.param == "journald":
                assert re.match("<[3467]>.", line)
        return found

    yield read
    logging.captureWarnings(False)
    logging.root.handlers[:], logging.root.level = before
    structlog.reset_defaults()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters()) | st.just(EVIL + "\udcff"), st.text(st.characters()), st.binary(max_size=50))
def test_one_event_is_one_line(lines: Callable[[], list[str]], event: str, value: str, path: bytes) -> None:
    structlog.get_logger().info(event, value=value, path=display(path), raw=path, several=[value, EVIL], none=None)
    assert len(lines()) == 1


def test_a_megabyte_of_names(lines: Callable[[], list[str]]) -> None:
    log = structlog.get_logger()
    log.warning("long", path=EVIL * 50_000)
    (line,) = lines()
    assert len(line) < 6 * MAX_TEXT
    names = [os.urandom(200) for _ in range(5_000)]
    for name in names:
        log.info("seen", path=display(name), raw=name)
    assert len(lines()) == len(names)


def test_values_are_told_apart_in_text(lines: Callable[[], list[str]]) -> None:
    log = structlog.get_logger()
    log.info("event", path="a level=error", reason='b"c')
    (line,) = lines()
    if not line.startswith("{"):
        assert line.endswith("event path='a level=error' reason='b\"c'")


def test_a_secret_is_cut_short(lines: Callable[[], list[str]]) -> None:
    secret = generate_secret(bytes(32))
    structlog.get_logger().info(f"no such file {secret}", path=f"/a/{secret.upper()}")
    (line,) = lines()
    assert secret[:20] not in line.lower()
    assert "no such file syncd-rw1-..." in line


def raise_evil() -> None:
    raise ValueError(EVIL)


def test_an_exception_is_one_line(lines: Callable[[], list[str]]) -> None:
    log = structlog.get_logger()
    try:
        raise_evil()
    except ValueError:
        log.exception("internal error")
    (line,) = lines()
    assert "raise_evil" in line


def of_a_library() -> None:
    logging.getLogger("aiohttp.server").error("Error handling %s", EVIL, exc_info=ValueError(EVIL))


def of_a_task() -> None:
    async def run() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": EVIL, "exception": ValueError(EVIL)})

    asyncio.run(run())


def of_a_thread() -> None:
    thread = threading.Thread(target=raise_evil)
    thread.start()
    thread.join()


def of_nobody() -> None:
    sys.excepthook(ValueError, ValueError(EVIL), None)


def of_a_destructor() -> None:
    class Bad:
        def __del__(self) -> None:
            raise_evil()

    Bad()


def of_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(EVIL, stacklevel=1)


@pytest.mark.parametrize(
    "source", [of_a_library, of_a_task, of_a_thread, of_nobody, of_a_destructor, of_a_warning], ids=lambda f: f.__name__
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_others_say_is_one_line(lines: Callable[[], list[str]], source: Callable[[], Any]) -> None:
    source()
    assert len(lines()) == 1


def test_an_interruption_from_the_keyboard_is_no_error(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "__excepthook__", lambda kind, *_: told.append(kind))
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert told == [KeyboardInterrupt]
    assert lines() == []
