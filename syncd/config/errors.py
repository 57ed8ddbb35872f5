"""What an operator is told: one line that says what, where and what to do."""

import os
import re
from typing import Final

_SECRET: Final = re.compile(r"(syncd-[a-z]{2,8}[0-9]-)[a-z2-7]{5,}", re.IGNORECASE)
_VERSION_1: Final = re.compile(r"\b([A-F])[A-Z2-7]{32,64}\b")  # of BitTorrent Sync


def without_secrets(text: str) -> str:
    """The text with every secret in it cut short: one lands where a path or a key should be soon enough."""
    return _VERSION_1.sub(r"\1...", _SECRET.sub(r"\1...", text))


class OperatorError(Exception):
    """The node or a verb cannot do what was asked. The text is one line for a human, `code` a sysexits value."""

    def __init__(self, message: str, code: int) -> None:
        self.message = without_secrets(message)
        super().__init__(self.message)
        self.code = code


class ConfigError(OperatorError):
    """Something in the configuration cannot be used. `line` and `column` count from 1; 0 when no place is known."""

    def __init__(self, file: str, line: int, column: int, message: str, code: int = os.EX_CONFIG) -> None:
        super().__init__(message, code)
        self.file = file
        self.line = line
        self.column = column
        self.more: tuple[ConfigError, ...] = ()  # further errors of the same file, in order of their places

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{without_secrets(place)}: {self.message}"

    @property
    def lines(self) -> list[str]:
        """This error and those that were found with it, one line each."""
        return [str(self), *(str(other) for other in self.more)]


def first_of(errors: list[ConfigError]) -> ConfigError:
    """The error that stands first in the file, carrying the others."""
    ordered = sorted(errors, key=lambda error: (error.line, error.column))
    ordered[0].more = tuple(ordered[1:])
    return ordered[0]
