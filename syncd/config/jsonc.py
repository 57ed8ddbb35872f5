"""JSON with comments and trailing commas, parsed so that every key and value knows its line and column.

RFC 8259 plus `//` and `/* */` comments and one trailing comma in arrays and objects. What JSON leaves open is decided
here: a key given twice is an error, and so is a number that Python would read as infinite.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_DEPTH = 32  # arrays and objects inside one another: bounds the parser's own recursion
SHOWN = 12  # characters of the file that a message repeats: never enough of a secret to be one
MAX_NUMBER = 40  # characters of a number: int() of a long digit string takes quadratic time

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
Loc = tuple[str | int, ...]


class Position(NamedTuple):
    """A place in the file; both numbers count from 1, the column in characters. file: empty for the first one."""

    line: int
    column: int
    file: str = ""


class Member(NamedTuple):
    """A key of an object and what it is set to."""

    key_at: Position
    node: "Node"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it begins. `repr` does not show the value, which may be a secret."""

    at: Position
    value: "str | int | float | bool | tuple[Node, ...] | dict[str, Member] | None" = field(repr=False)


class SyntaxFault(ValueError):
    """Text that is not JSON with comments."""

    def __init__(self, at: Position, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def plain(node: Node) -> Plain:
    """The value without its places."""
    if isinstance(node.value, dict):
        return {key: plain(member.node) for key, member in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return node.value


def child(node: Node, part: str | int) -> Node | None:
    """The member or element `part` of `node`, None if there is none."""
    if isinstance(node.value, dict) and isinstance(part, str) and part in node.value:
        return node.value[part].node
    if isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None


def find(node: Node, loc: Loc) -> Node:
    """The value at `loc`, or the innermost one around it that exists."""
    for part in loc:
        below = child(node, part)
        if below is None:
            break
        node = below
    return node


def parse(text: str, file: str = "") -> Node:
    """Parse a whole document. file: for its places. Raises SyntaxFault with the place of the first error."""
    return _Parser(text, file).document()


_SPACE = re.compile(r"[ \t\r\n]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z0-9_.+-]+")
_PLAIN_RUN = re.compile(r'[^"\\\x00-\x1f]+')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class _Parser:
    """One pass over the text; `i` is the index of the next character."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.i = 1 if text.startswith("\ufeff") else 0
        self.lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]

    def document(self) -> Node:
        self.space()
        if self.i == len(self.text):
            raise self.fault("the file is empty; `syncd sample-config` prints an example")
        root = self.value(0)
        self.space()
        if self.i < len(self.text):
            raise self.fault(f"unexpected {self.seen()} after the end of the document")
        return root

    def at(self, index: int) -> Position:
        line = bisect_right(self.lines, index)
        start = self.lines[line - 1]
        if line == 1 and self.text.startswith("\ufeff"):
            start = 1
        return Position(line, index - start + 1, self.file)

    def fault(self, message: str, index: int | None = None) -> SyntaxFault:
        return SyntaxFault(self.at(self.i if index is None else index), message)

    def seen(self) -> str:
        """What stands at `i`, for a message."""
        if self.i == len(self.text):
            return "end of the file"
        word = _WORD.match(self.text, self.i)
        return repr(word.group()[:SHOWN] if word else self.text[self.i])

    def space(self) -> None:
        """Skip white space and comments."""
        while self.i < len(self.text):
            if match := _SPACE.match(self.text, self.i):
                self.i = match.end()
            elif self.text.startswith("//", self.i):
                ends = [end for end in (self.text.find("\n", self.i), self.text.find("\r", self.i)) if end >= 0]
                self.i = min(ends, default=len(self.text))
            elif self.text.startswith("/*", self.i):
                end = self.text.find("*/", self.i + 2)
                if end < 0:
                    raise self.fault("this comment is never closed with */")
                self.i = end + 2
            elif self.text[self.i] == "#":
                raise self.fault("comments are written // or /* */")
            else:
                return

    def value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} levels inside one another")
        start, here = self.i, self.at(self.i)
        char = self.text[start] if start < len(self.text) else ""
        if char == "{":
            return Node(here, self.object(depth))
        if char == "[":
            return Node(here, self.array(depth))
        if char == '"':
            return Node(here, self.string())
        if char == "'":
            raise self.fault('text is written in double quotes: "..."')
        return Node(here, self.word())

    def word(self) -> int | float | bool | None:
        match = _WORD.match(self.text, self.i)
        word = match.group() if match else ""
        if word in _WORDS:
            self.i += len(word)
            return _WORDS[word]
        if word[:1] in "-0123456789" and word:
            return self.number(word)
        if word.lower() in _WORDS:
            raise self.fault(f"{word} is written {word.lower()}")
        if word == "None":
            raise self.fault("None is written null")
        if word:
            raise self.fault(f'expected a value but found {self.seen()}; text is written in double quotes: "..."')
        raise self.fault(f"expected a value but found {self.seen()}")

    def number(self, word: str) -> int | float:
        match = _NUMBER.fullmatch(word) if len(word) <= MAX_NUMBER else None
        if match is None:
            hint = '; a mode is text: "0644"' if re.fullmatch(r"0[0-7]+", word) else ""
            raise self.fault(f"{word[:SHOWN]!r} is not a number of JSON{hint}")
        number = float(word) if match.group(1) or match.group(2) else int(word)
        if number in (float("inf"), float("-inf")):
            raise self.fault(f"{word[:SHOWN]} is too large")
        self.i += len(word)
        return number

    def object(self, depth: int) -> dict[str, Member]:
        opened = self.i
        self.i += 1
        members: dict[str, Member] = {}
        while not self.closed("}", opened, bool(members)):
            start, key_at = self.i, self.at(self.i)
            if self.text[self.i] != '"':
                raise self.fault(f'expected a key in double quotes or "}}" but found {self.seen()}')
            key = self.string()
            if key in members:
                first = members[key].key_at
                message = (
                    f'the key "{printable(key)}" is given twice, first at line {first.line}, column {first.column}'
                )
                raise self.fault(message, start)
            self.space()
            if not self.text.startswith(":", self.i):
                raise self.fault(f'expected ":" after the key "{printable(key)}" but found {self.seen()}')
            self.i += 1
            self.space()
            members[key] = Member(key_at, self.value(depth + 1))
        return members

    def array(self, depth: int) -> tuple[Node, ...]:
        opened = self.i
        self.i += 1
        items: list[Node] = []
        while not self.closed("]", opened, bool(items)):
            items.append(self.value(depth + 1))
        return tuple(items)

    def closed(self, bracket: str, opened: int, comma: bool) -> bool:
        """Go on to the next item of an array or object; True when it ended. `comma`: one must stand between."""
        self.space()
        if comma and self.text.startswith(",", self.i):
            self.i += 1
            self.space()
        elif comma and self.i < len(self.text) and self.text[self.i] != bracket:
            raise self.fault(f'expected "," or "{bracket}" but found {self.seen()}')
        if self.i == len(self.text):
            place = self.at(opened)
            raise self.fault(f'the file ends before the "{bracket}" of line {place.line}, column {place.column}')
        if self.text[self.i] == bracket:
            self.i += 1
            return True
        return False

    def string(self) -> str:
        start = self.i
        self.i += 1
        parts: list[str] = []
        while True:
            if match := _PLAIN_RUN.match(self.text, self.i):
                parts.append(match.group())
                self.i = match.end()
            char = self.text[self.i] if self.i < len(self.text) else ""
            if char == '"':
                self.i += 1
                return "".join(parts)
            if char in ("", "\n", "\r"):
                raise self.fault('this text is not closed with a " on its line', start)
            if char != "\\":
                raise self.fault(f"a control character in text is written \\u{ord(char):04x}")
            parts.append(self.escape())

    def escape(self) -> str:
        start = self.i
        char = self.text[start + 1 : start + 2]
        if char in _ESCAPES:
            self.i += 2
            return _ESCAPES[char]
        if char != "u":
            raise self.fault(f"unknown escape {self.text[start : start + 2]!r} in text; a backslash is written \\\\")
        code = self.unit(start)
        if 0xD800 <= code < 0xDC00:
            low = self.unit(self.i) if self.text.startswith("\\u", self.i) else 0
            if not 0xDC00 <= low < 0xE000:
                raise self.fault("half of a surrogate pair in text", start)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        elif 0xDC00 <= code < 0xE000:
            raise self.fault("half of a surrogate pair in text", start)
        return chr(code)

    def unit(self, start: int) -> int:
        match = _HEX.match(self.text, start + 2)
        if match is None:
            raise self.fault("\\u takes four hexadecimal digits", start)
        self.i = match.end()
        return int(match.group(), 16)


def printable(text: str) -> str:
    """The text fit for one line of a message."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
