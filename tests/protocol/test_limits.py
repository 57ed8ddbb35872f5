"""The limits of the code are those of SPEC.md, and stand in one place."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from protocol import limits

PROTOCOL = Path(limits.__file__).parent
LIMITS = {name: value for name, value in vars(limits).items() if name.isupper() and not name.startswith("_")}
ROW = re.compile(r"\| `(\w+)` \| (.+?) \| (.+?) \|")
POWER = re.compile(r"2\^(\d+)( - 1)?")

# Constants that are named like limits, and are none of the protocol's.
OTHERS = {
    ("noise.py", "_MAX_NONCE"): "a value that Noise reserves, not a bound that was chosen",
}


def appendix() -> dict[str, tuple[str, str]]:
    """{name: (value, reason)} as SPEC.md says."""
    _, _, text = (PROTOCOL / "SPEC.md").read_text().partition("\n## Appendix A: limits\n")
    rows = [ROW.fullmatch(line) for line in text.splitlines() if line.startswith("| `")]
    assert all(rows)
    found = [row.groups() for row in rows if row]
    assert len({name for name, *_ in found}) == len(found)
    return {name: (value, reason) for name, value, reason in found}


def value_of(text: str) -> int | bytes:
    power = POWER.fullmatch(text)
    if power:
        return (1 << int(power[1])) - (1 if power[2] else 0)
    return text[1:-1].encode() if text.startswith("`") else int(text)


def constants(path: Path) -> list[str]:
    """Names that a module assigns at its top level."""
    found = []
    for node in ast.parse(path.read_text()).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found += [target.id for target in targets if isinstance(target, ast.Name)]
    return found


def test_the_spec_lists_every_limit_and_no_other() -> None:
    assert list(appendix()) == list(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_the_values_are_equal(name: str) -> None:
    assert value_of(appendix()[name][0]) == LIMITS[name]


def test_every_limit_has_a_reason() -> None:
    assert all(len(reason) > 20 for _, reason in appendix().values())
    lines = [line for line in (PROTOCOL / "limits.py").read_text().splitlines() if re.match(r"[A-Z]\w*: Final", line)]
    assert len(lines) == len(LIMITS)
    assert [line for line in lines if not re.search(r"  # .{20}", line)] == []


def test_every_limit_that_the_spec_names_exists() -> None:
    named = set(re.findall(r"`((?:MAX|MIN)_\w+)`", (PROTOCOL / "SPEC.md").read_text()))
    assert named <= LIMITS.keys()


@pytest.mark.parametrize("path", sorted(PROTOCOL.glob("*.py")), ids=lambda path: path.name)
def test_limits_stand_in_one_place(path: Path) -> None:
    strays = [name for name in constants(path) if re.match(r"_?(MAX|MIN)_", name) and (path.name, name) not in OTHERS]
    assert path.name == "limits.py" or strays == []


def test_exceptions_are_still_needed() -> None:
    assert {(file, name) for file, name in OTHERS if name in constants(PROTOCOL / file)} == OTHERS.keys()


def test_every_limit_is_used() -> None:
    root = PROTOCOL.parent
    text = "".join(path.read_text() for top in ("protocol", "syncd") for path in (root / top).rglob("*.py"))
    words = Counter(re.findall(r"\b[A-Z][A-Z0-9_]+\b", text))
    used = {name for name in LIMITS if words[name] > 1}
    assert used == LIMITS.keys()


def test_derived_limits_fit_together() -> None:
    assert limits.MAX_SEGMENT <= limits.MAX_BLOCK  # a segment is an object
    assert limits.MAX_BLOCK < limits.MAX_MESSAGE
    assert limits.MAX_WEIGHT <= limits.MAX_PAGE_WEIGHT  # any entry fits in a page
    assert limits.MAX_RECORD <= limits.MAX_ENTRY < limits.MAX_MESSAGE
    assert limits.MAX_SEGMENT_ITEMS <= limits.MAX_ITEMS
    assert limits.MIN_BLOCK_ACCEPTED <= limits.MIN_BLOCK <= limits.AVERAGE_BLOCK <= limits.MAX_BLOCK
    assert limits.KEY_BYTES_PER_ASK + 5 * limits.MAX_KEYS_PER_ASK < limits.MAX_MESSAGE
    largest_array = max(limits.MAX_PAGES_PER_ANSWER, limits.MAX_LEAVES_PER_ANSWER, limits.MAX_SEGMENT_ENTRIES)
    assert largest_array < limits.MAX_ARRAY <= largest_array + 256
    assert limits.PAGE_TARGET**limits.MAX_LEVELS > 1 << 40
    leaf, node = limits.LEAF_LEAST + limits.LEAF_MEAN, limits.NODE_LEAST + limits.NODE_MEAN
    assert limits.AVERAGE_BLOCK * leaf * node * limits.MAX_SEGMENT_ENTRIES >= 100 << 40
