"""Words for the numbers and names of a status."""

from syncd.config.jsonc import printable

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(number: float) -> str:
    """Bytes as people read them: 950 B, 3.4 MB."""
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number /= 1000
        unit += 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 or number >= 99.95 else f"{number:.1f} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """A time span in its two largest units: 3 h 12 min."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")) if number
    ]
    return " ".join(parts[:2]) or "0 s"


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def need(files: int, amount: int) -> str:
    """What is still to come."""
    return f"needs {count(files, 'file')}, {size(amount)}"


def clean(text: object) -> str:
    """A text of somebody else's, fit for a terminal: one line, no control characters."""
    return printable(str(text or ""))
