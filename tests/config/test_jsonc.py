"""JSON with comments: values, and the exact place of every error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.jsonc import MAX_DEPTH, Node, Position, SyntaxFault, find, parse, plain

MARK = "‸"  # stands in a text where its error is told

SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def marked(text: str) -> tuple[str, Position]:
    """The text without its mark, and the place of the mark."""
    before, mark, after = text.partition(MARK)
    assert mark
    lines = before.split("\n")
    return before + after, Position(len(lines), len(lines[-1]) + 1)


@given(JSON, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_reads_all_that_json_writes(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    assert plain(parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only))) == value


def place_of_fault(text: str) -> Position | None:
    try:
        parse(text)
    except SyntaxFault as fault:
        return fault.at
    return None


@given(st.text(alphabet='{}[]",:/*\\u12dn true-.e\n\r\x00#\ufeff', max_size=40))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    at = place_of_fault(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert at is None or (at.line <= len(lines) and 1 <= at.column <= len(lines[at.line - 1]) + 1)


@given(JSON, st.data())
def test_what_json_refuses_is_refused(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text)))]
    try:
        json.loads(cut)
    except ValueError:
        assert place_of_fault(cut) is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{} // end", {}),
        ("// first\n/* second\n */ {/**/}", {}),
        ("[1, 2, /* last */ 3,]", [1, 2, 3]),
        ('{"a": 1, // one\n "b": [],}', {"a": 1, "b": []}),
        ('{"url": "http://x/*y*/"}', {"url": "http://x/*y*/"}),
        ("[1/**/,true//\n]", [1, True]),
        ("\ufeff[]", []),
        ("[-0, 1e3, 1.5]", [0, 1000.0, 1.5]),
        (r'"\ud83d\ude00 \u00e9\n\/"', "\U0001f600 é\n/"),
        ("[1]\r\n", [1]),
    ],
)
def test_comments_and_trailing_commas(text: str, value: Any) -> None:
    assert plain(parse(text)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n‸", "the file is empty"),
        ("// only a comment‸", "the file is empty"),
        ("{} ‸{}", "unexpected '{' after the end"),
        ("[]\n\n  ‸trailing", "unexpected 'trailing' after the end"),
        ('{"a": 1,\n "b": 2,\n ‸"a": 3}', 'the key "a" is given twice, first at line 1, column 2'),
        ('{"é": {"x": 1, ‸"x": 2}}', 'the key "x" is given twice, first at line 1, column 8'),
        ('{"a" ‸1}', 'expected ":" after the key "a" but found \'1\''),
        ('{"a": 1\n ‸"b": 2}', 'expected "," or "}" but found \'"\''),
        ("[1 ‸2]", 'expected "," or "]" but found \'2\''),
        ("{‸a: 1}", 'expected a key in double quotes or "}" but found \'a\''),
        ("{‸,}", 'expected a key in double quotes or "}" but found \',\''),
        ("[‸,]", "expected a value but found ','"),
        ("[1,‸,]", "expected a value but found ','"),
        ('{"a": ‸}', "expected a value but found '}'"),
        ('{"a": ‸', "expected a value but found end of the file"),
        ('{\n  "a": [1, 2‸', 'the file ends before the "]" of line 2, column 8'),
        ("{‸", 'the file ends before the "}" of line 1, column 1'),
        ("[‸'x']", "text is written in double quotes"),
        ("{‸'x': 1}", "expected a key in double quotes"),
        ('["a", ‸"b\n"]', 'not closed with a " on its line'),
        ('["a", ‸"b', 'not closed with a " on its line'),
        ("[‸True]", "True is written true"),
        ("[‸None]", "None is written null"),
        ("[‸localhost]", "text is written in double quotes"),
        ("[‸0644]", 'not a number of JSON; a mode is text: "0644"'),
        ("[‸01x]", "'01x' is not a number"),
        ("[‸+1]", "expected a value but found '+1'"),
        ("[‸1e999]", "1e999 is too large"),
        ("[‸-1e999]", "-1e999 is too large"),
        ("[‸" + "9" * 5000 + "]", "is not a number"),
        ("{‸# no\n}", "comments are written // or /* */"),
        ("{} \n ‸/* open", "this comment is never closed"),
        ("[‸/]", "expected a value but found '/'"),
        ('["‸\\x"]', "unknown escape"),
        ('["‸\\u12g4"]', "four hexadecimal digits"),
        ('["a‸\\ud800"]', "half of a surrogate pair"),
        ('["a‸\\ud800\\u0041"]', "half of a surrogate pair"),
        ('["‸\\udc00"]', "half of a surrogate pair"),
        ('["a‸\tb"]', "a control character in text is written \\u0009"),
        ("[" * (MAX_DEPTH + 1) + "‸[", "levels inside one another"),
    ],
)  # fmt: skip
def test_every_error_has_its_place(text: str, message: str) -> None:
    text, at = marked(text)
    with pytest.raises(SyntaxFault) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.at == at


def test_lines_end_as_on_any_system() -> None:
    with pytest.raises(SyntaxFault) as caught:
        parse("[1,\r\n2,\r 3,\n  x]")
    assert caught.value.at == Position(4, 3)


def test_a_secret_without_quotes_is_not_repeated() -> None:
    secret = "syncd-rw1-" + "a" * 60
    for text in (f"[{secret}]", f"[1 {secret}]", f"[] {secret}"):
        with pytest.raises(SyntaxFault) as caught:
            parse(text)
        assert secret[:13] not in caught.value.message


def test_every_value_knows_its_place() -> None:
    tree = parse('\ufeff{\n  "a": [1, {"b": "x"}],\n\t"c": null}')
    assert tree.at == Position(1, 1)
    assert find(tree, ("a",)).at == Position(2, 8)
    assert find(tree, ("a", 1, "b")) == Node(Position(2, 18), "x")
    assert find(tree, ("c",)).at == Position(3, 7)
    assert find(tree, ("a", 1, "missing", "deeper")).at == Position(2, 12)
    assert find(tree, ("a", 7)).at == Position(2, 8)
