"""Logging: one line per event on standard error, as text, JSON or for the journal, with what peers named escaped."""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import structlog

from syncd.config.errors import without_secrets
from syncd.config.settings import Log

MAX_TEXT: Final = 16_384  # characters of one value: any path, escaped as badly as can be, or a long traceback
LINES_PER_WINDOW: Final = 10  # of one event; what peers can cause must not fill the disk, nor hide other events
WINDOW: Final = 1.0  # seconds

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # of syslog(3)


def set_up_logging(settings: Log) -> None:
    """Configure structlog for the whole process, and send it what libraries and the interpreter have to say."""
    change_logging(settings)
    structlog.configure(
        processors=[
            _threshold,
            structlog.processors.add_log_level,
            Flood(time.monotonic),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _one_line,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.root.handlers[:] = [_Library()]
    logging.root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def change_logging(settings: Log) -> None:
    """Another level or format from the next line on, of loggers that are in use, too."""
    _form.level = _LEVELS[settings.level]
    _form.render = _FORMATS[settings.format]


class _Form:
    """What loggers, which are made once, ask anew for each line."""

    level = logging.INFO
    render: Any = None


_form: Final = _Form()


def _threshold(_logger: Any, method: str, event: Any) -> Any:
    if _LEVELS.get(method, logging.ERROR) < _form.level:
        raise structlog.DropEvent
    return event


def _render(logger: Any, method: str, event: Any) -> Any:
    return _form.render(logger, method, event)


class _Library(logging.Handler):
    """Passes on what asyncio, aiohttp and others log: theirs would be text of several lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        level = min(record.levelno, logging.ERROR)
        structlog.get_logger().log(level, record.getMessage(), library=record.name, exc_info=record.exc_info or None)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        structlog.get_logger().error("internal error", exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        _uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def _unraisable(arguments: Any) -> None:
    error = arguments.exc_value
    structlog.get_logger().error("internal error", exc_info=(type(error), error, arguments.exc_traceback))


class Flood:
    """Drops lines of an event that comes too often, and has its next line say how many. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._seen: Counter[tuple[str, str]] = Counter()  # in this window
        self._unsaid: Counter[tuple[str, str]] = Counter()  # dropped since the event's latest line

    def __call__(self, _logger: Any, method: str, event: Any) -> Any:
        """Whether and how a line is logged: structlog's form of a processor."""
        now = self._clock()
        if now - self._began >= WINDOW:
            self._began = now
            self._seen.clear()
        cause = method, str(event.get("event"))
        self._seen[cause] += 1
        if self._seen[cause] > LINES_PER_WINDOW:
            self._unsaid[cause] += 1
            raise structlog.DropEvent
        unsaid = self._unsaid.pop(cause, 0)
        return {**event, "unsaid": unsaid} if unsaid else event


def _one_line(_logger: Any, _method: str, event: Any) -> Any:
    return {name: _plain(value) for name, value in event.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _escape(value if isinstance(value, str) else str(value))


def _escape(text: str) -> str:
    text = without_secrets(text)
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT // 2]} ... {text[-MAX_TEXT // 2 :]}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def _text_line(_logger: Any, _method: str, event: Any) -> str:
    fields = dict(event)
    stamp, level, text = fields.pop("timestamp"), fields.pop("level"), fields.pop("event")
    return f"{stamp} {level:7} {text}{_fields(fields)}"


def _journal_line(_logger: Any, _method: str, event: Any) -> str:
    """The priority comes first, as sd-daemon(3) has it; the time is the journal's."""
    fields = dict(event)
    fields.pop("timestamp")
    level, text = fields.pop("level"), fields.pop("event")
    return f"<{_PRIORITIES.get(level, 3)}>{text}{_fields(fields)}"


def _fields(fields: dict[str, Any]) -> str:
    return "".join(f" {name}={_quote(value)}" for name, value in fields.items())


def _quote(value: Any) -> str:
    text = str(value)
    return repr(text) if not text or any(char in text for char in " \"'=") else text


_FORMATS: Final[dict[str, Any]] = {
    "text": _text_line,
    "json": structlog.processors.JSONRenderer(),
    "journald": _journal_line,
}
