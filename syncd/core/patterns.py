"""Patterns over paths, in the manner of gitignore: which paths a list of lines selects.

A line selects as in gitignore(5): a slash at the start or in the middle anchors it at the top of the folder, otherwise
it applies to names at any depth; one at the end confines it to directories. `*`, `?` and `[...]` stay within a
component, `**` as a component spans any number of them, `!` takes back what earlier lines selected, a backslash takes a
character literally, and the last line that applies decides. What lies below a selected directory is selected. Other
than in git, `?` and `[...]` stand for a character, not a byte, and a line that could never apply is an error.

Matching walks the components of a path once, with all lines side by side, and remembers where that led for each
directory; so a file costs one look-up and one regular expression over its name. The expressions cannot backtrack
beyond O(length of name * length of pattern): see _expression.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from protocol.paths import parent

MAX_PATTERN: Final = 1_024  # characters of a line: bounds the work for one name
MAX_PATTERNS: Final = 1_024  # lines of one list
MAX_REMEMBERED: Final = 4_096  # directories that a list remembers: they may be 4 KiB long each

_CLASSES: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": " \\t-\\r", "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip


class PatternError(ValueError):
    """A line that cannot be used; the message names it."""


class _Glob(NamedTuple):
    """One component of a line: the literal name, or else an expression for the whole name."""

    literal: str | None
    expression: str

    def matches(self, name: str) -> bool:
        if self.literal is not None:
            return self.literal == name
        return re.compile(self.expression, re.DOTALL).fullmatch(name) is not None


class _Line(NamedTuple):
    """A line. None among the parts spans any number of components; the last part is never None."""

    negated: bool
    directories_only: bool
    parts: tuple[_Glob | None, ...]


_EVERY_NAME: Final = _Glob(None, ".*")
_Thread = tuple[int, int]  # (number of a line, the part of it that comes next)
_Judge = Callable[[str], bool]


class _Place(NamedTuple):
    """Where the lines stand in a directory."""

    selected: bool  # the directory itself, and so all below it
    threads: frozenset[_Thread]
    judge_file: _Judge | None  # for names of its entries; None if no line can apply
    judge_directory: _Judge | None


_SELECTED: Final = _Place(True, frozenset(), None, None)


class Patterns:
    """A list of lines, compiled. Blank lines and lines that start with `#` say nothing. Threads may share it."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """Raises PatternError."""
        lines = list(lines)
        if len(lines) > MAX_PATTERNS:
            raise PatternError(f"{len(lines)} patterns in one list; {MAX_PATTERNS} are supported")
        self._lines = [line for text in lines if (line := _parse(text)) is not None]
        self._known: dict[frozenset[_Thread], _Place] = {}
        self._top = self._place(_advance(self._lines, {(number, 0) for number in range(len(self._lines))}))
        self._places = {b"": self._top}

    def match(self, path: bytes, directory: bool) -> bool:
        """Whether the lines select `path` or a directory above it. `directory`: whether `path` is one."""
        above, _, name = path.rpartition(b"/")
        place = self._places.get(above) or self._walk(above)
        if place.selected:
            return True
        judge = place.judge_directory if directory else place.judge_file
        return judge is not None and judge(name.decode("utf-8", "surrogateescape"))

    def literal_prefixes(self) -> list[bytes]:
        """The path of each line that selects below one literal path only: b"themes" for `/themes/` or `/themes/*`."""
        prefixes = [_literal_prefix(line) for line in self._lines if not line.negated]
        return list(dict.fromkeys([prefix for prefix in prefixes if prefix]))

    @property
    def confined(self) -> bool:
        """Whether all that the lines select lies at or below one of the literal prefixes."""
        return all(_literal_prefix(line) for line in self._lines if not line.negated)

    @property
    def selects_nothing(self) -> bool:
        """Whether there is no line that selects."""
        return all(line.negated for line in self._lines)

    @property
    def selects_everything(self) -> bool:
        """Whether every path is selected, by a line as `*`, `/*` or `**`."""
        return not any(line.negated for line in self._lines) and any(map(_selects_everything, self._lines))

    def _walk(self, directory: bytes) -> _Place:
        """The place of a directory that is not remembered yet."""
        if len(self._places) >= MAX_REMEMBERED:
            self._places = {b"": self._top}
        missing = []
        while (place := self._places.get(directory)) is None:
            missing.append(directory)
            directory = parent(directory)
        for directory in reversed(missing):
            place = self._places[directory] = self._enter(place, directory.rpartition(b"/")[2])
        return place

    def _enter(self, place: _Place, name: bytes) -> _Place:
        text = name.decode("utf-8", "surrogateescape")
        if place.selected or (place.judge_directory is not None and place.judge_directory(text)):
            return _SELECTED
        reached = set()
        for number, at in place.threads:
            parts = self._lines[number].parts
            part = parts[at]
            if part is None:
                reached.add((number, at))
            elif at + 1 < len(parts) and part.matches(text):
                reached.add((number, at + 1))
        return self._place(_advance(self._lines, reached))

    def _place(self, threads: frozenset[_Thread]) -> _Place:
        place = self._known.get(threads)
        if place is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            last = sorted([number for number, at in threads if at + 1 == len(self._lines[number].parts)], reverse=True)
            ends = [self._lines[number] for number in last]
            judge_file = _judge([line for line in ends if not line.directories_only])
            place = self._known[threads] = _Place(False, threads, judge_file, _judge(ends))
        return place


def _advance(lines: list[_Line], threads: set[_Thread]) -> frozenset[_Thread]:
    """The threads, and those that step over a part which may span nothing."""
    return frozenset(threads | {(number, at + 1) for number, at in threads if lines[number].parts[at] is None})


def _judge(lines: list[_Line]) -> _Judge | None:
    """What decides about a name, given the lines whose last part is next, last line first."""
    if all(line.negated for line in lines):
        return None
    literals: dict[str, int] = {}
    expressions, order = [], []
    for number, line in enumerate(lines):
        glob = line.parts[-1]
        assert glob is not None
        if glob.literal is not None:
            literals.setdefault(glob.literal, number)
        else:
            expressions.append(f"({glob.expression})")
            order.append(number)
    negated = [line.negated for line in lines]
    search = re.compile("|".join(expressions), re.DOTALL).fullmatch if expressions else None

    def judge(name: str) -> bool:
        first = literals.get(name)
        if search is not None and (found := search(name)) is not None:
            assert found.lastindex is not None
            number = order[found.lastindex - 1]
            if first is None or number < first:
                first = number
        return first is not None and not negated[first]

    return judge


def _literal_prefix(line: _Line) -> bytes:
    names = []
    for part in line.parts:
        if part is None or part.literal is None:
            break
        names.append(part.literal)
    return "/".join(names).encode("utf-8", "surrogateescape")


def _selects_everything(line: _Line) -> bool:
    *above, last = line.parts
    return not line.directories_only and not any(above) and last == _EVERY_NAME


def _parse(text: str) -> _Line | None:
    if len(text) > MAX_PATTERN:
        raise PatternError(f"pattern {text[:40]!r}... has {len(text)} characters; {MAX_PATTERN} are supported")
    body = _without_trailing_spaces(text)
    if not body or body.startswith("#"):
        return None
    try:
        return _line(body)
    except PatternError as error:
        raise PatternError(f"pattern {text!r}: {error}") from None


def _without_trailing_spaces(text: str) -> str:
    body = text.rstrip(" ")
    slashes = len(body) - len(body.rstrip("\\"))
    return body + " " if slashes % 2 and len(body) < len(text) else body


def _line(body: str) -> _Line:
    negated = body.startswith("!")
    components = _components(body.removeprefix("!"))
    directories_only = len(components) > 1 and not components[-1]
    if directories_only:
        components.pop()
    anchored = len(components) > 1
    if anchored and not components[0]:
        components.pop(0)
    if not all(components):
        raise PatternError("has an empty component, so it never applies")
    if any(_literal(atoms) in (".", "..") for atoms in components):
        raise PatternError("has a component '.' or '..', so it never applies")
    parts: list[_Glob | None] = []
    for atoms in components:
        spans = anchored and len(atoms) > 1 and all(atom is _STAR for atom in atoms)
        if not spans or not parts or parts[-1] is not None:
            parts.append(None if spans else _Glob(_literal(atoms), _expression(atoms)))
    if parts[-1] is None:
        parts.append(_EVERY_NAME)
    return _Line(negated, directories_only, tuple(parts) if anchored else (None, *parts))


# --- one component: a list of atoms

_Atom = tuple[str, str]  # (the character it stands for, or empty; its regular expression)

_STAR: Final[_Atom] = ("", "*")
_ANY: Final[_Atom] = ("", ".")


def _components(text: str) -> list[list[_Atom]]:
    """The components between slashes; an empty list for an empty one."""
    components: list[list[_Atom]] = [[]]
    at = 0
    while at < len(text):
        if text[at] == "/":
            components.append([])
            at += 1
        else:
            atom, at = _atom(text, at)
            components[-1].append(atom)
    return components


def _atom(text: str, at: int) -> tuple[_Atom, int]:
    if text[at] == "*":
        return _STAR, at + 1
    if text[at] == "?":
        return _ANY, at + 1
    if text[at] == "[":
        return _class(text, at + 1)
    character, at = _character(text, at)
    return (character, re.escape(character)), at


def _character(text: str, at: int) -> tuple[str, int]:
    """The character at `at`, which a backslash may precede, and where the next one is."""
    escaped = text[at] == "\\"
    at += escaped
    if at == len(text):
        raise PatternError("ends with a single backslash")
    if text[at] == "\0" or (escaped and text[at] == "/"):
        raise PatternError("has a slash or NUL within a name")
    return text[at], at + 1


def _class(text: str, at: int) -> tuple[_Atom, int]:
    """The atom of a bracket expression whose inside starts at `at`."""
    inverted = text[at : at + 1] in ("!", "^")
    first = at = at + inverted
    items = []
    while at < len(text) and (text[at] != "]" or at == first):
        if text.startswith("[:", at):
            name, closed, _ = text[at + 2 :].partition(":]")
            if not closed or name not in _CLASSES:
                raise PatternError("has an unknown character class; '[' is written '\\['")
            items.append(_CLASSES[name])
            at += len(name) + 4
            continue
        low, at = _character(text, at)
        high = low
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]"):
            high, at = _character(text, at + 1)
        if high < low:
            raise PatternError(f"has a range that is empty: {low}-{high}")
        items.append(f"{re.escape(low)}-{re.escape(high)}")
    if at >= len(text):
        raise PatternError("has a '[' without ']'; a literal one is written '\\['")
    return ("", f"[{'^' if inverted else ''}{''.join(items)}]"), at + 1


def _literal(atoms: list[_Atom]) -> str | None:
    return "".join([character for character, _ in atoms]) if all(character for character, _ in atoms) else None


def _expression(atoms: list[_Atom]) -> str:
    """A regular expression over a whole name that needs O(len(name) * len(atoms)) steps at most.

    Between stars are runs of fixed length, so the first place where a run fits is as good as any later one: an atomic
    group never comes back to it. Only the last run has to be at the end. The method of fnmatch.translate.
    """
    runs = [""]
    for atom in atoms:
        if atom is not _STAR:
            runs[-1] += atom[1]
        elif runs[-1] or len(runs) == 1:
            runs.append("")
    if len(runs) == 1:
        return runs[0]
    middle = "".join([f"(?>.*?{run})" for run in runs[1:-1]])
    return f"{runs[0]}{middle}.*{runs[-1]}"
