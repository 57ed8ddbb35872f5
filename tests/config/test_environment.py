"""Variables in texts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.environment import expand, literal
from syncd.config.jsonc import Position, SyntaxFault, parse, plain


def expanded(text: str, **environment: str) -> object:
    return plain(expand(parse(text), environment))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"${A}"', "one"),
        ('"x${A}y${B}z"', "xoneytwoz"),
        ('"${NONE:-}"', ""),
        ('"${NONE:-de:-fault}"', "de:-fault"),
        ('"${EMPTY:-default}"', "default"),
        ('"${EMPTY}"', ""),
        ('"${A:-default}"', "one"),
        ('"$A $ {A} 100%"', "$A $ {A} 100%"),
        ('"$${A}"', "${A}"),
        ('"$$${A}"', "$${A}"),
        ('{"a": "${NONE:-}", "b": "${EMPTY:-}", "c": "${A:-}", "d": "${EMPTY}"}', {"c": "one", "d": ""}),
        ('["${NONE:-}", "${EMPTY:-}", "${A:-}", "x${NONE:-}", "${NONE:-}${NONE:-}"]', ["one", "x", ""]),
        ('{"${A}": ["${A}", {"b": "${B}"}, 5]}', {"${A}": ["one", {"b": "two"}, 5]}),
    ],
)
def test_variables(text: str, value: object) -> None:
    assert expanded(text, A="one", B="two", EMPTY="") == value


@given(st.text(alphabet='${}AB"\\:-,[', max_size=20))
def test_what_is_inserted_is_data(value: str) -> None:
    assert expanded('["${A}"]', A=value, B="no") == [value]


@given(st.text(alphabet="${}A", max_size=20))
def test_literal_stands_for_itself(text: str) -> None:
    tree = expand(parse(f'"{literal(text)}"'), {"A": "no"})
    assert tree.value == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":\n  ["${NONE}"]}', "the environment variable NONE is not set"),
        ('{"a":\n  ["${A"]}', "never closed"),
        ('{"a":\n  ["${}"]}', "does not begin"),
        ('{"a":\n  ["${1A}"]}', "does not begin"),
        ('{"a":\n  ["${A-b}"]}', "does not begin"),
    ],
)
def test_faults_have_the_place_of_the_text(text: str, message: str) -> None:
    with pytest.raises(SyntaxFault) as caught:
        expanded(text, A="one")
    assert message in caught.value.message
    assert caught.value.at == Position(2, 4)


def test_a_variable_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text('a"\\ ${B}\n')
    file.chmod(0o600)
    assert expanded('"<${A}>"', A_FILE=str(file), B="no") == '<a"\\ ${B}>'
    assert expanded('"${A:-default}"', A_FILE=str(file)) == 'a"\\ ${B}'
    assert expanded('"${A}"', A="set", A_FILE="/nowhere") == "set"
    assert expanded('"${A:-default}"', A_FILE="") == "default"


def test_a_file_of_a_variable_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("x")
    file.chmod(0o644)
    with pytest.raises(SyntaxFault, match="A_FILE: others can read"):
        expanded('"${A}"', A_FILE=str(file))
