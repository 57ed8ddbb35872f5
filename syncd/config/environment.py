"""`${NAME}` and `${NAME:-default}` in texts. What is inserted is data: it is never looked at for variables or JSON.

`$${` stands for a literal `${`. As in a shell, `:-` also applies to a variable that is set but empty. If NAME is not
set and NAME_FILE is, the text of that file is inserted, as containers get secrets. It is read as secret files are.
A key or an entry of a list whose text is `${NAME:-}` is left out where NAME is not set.
"""

import re
from collections.abc import Mapping

from syncd.config.errors import OperatorError
from syncd.config.jsonc import SHOWN, Member, Node, SyntaxFault
from syncd.config.secret_file import read_secret_file

_REFERENCE = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<body>[^}]*)(?P<end>\})?")
_OPTIONAL = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*:-\}")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


def expand(node: Node, environment: Mapping[str, str]) -> Node:
    """The tree with variables filled in. Raises SyntaxFault at the text whose variable is not set."""
    value = node.value
    if isinstance(value, dict):
        filled = {key: Member(member.key_at, expand(member.node, environment)) for key, member in value.items()}
        members = {key: member for key, member in filled.items() if not left_out(value[key].node, member.node)}
        return Node(node.at, members)
    if isinstance(value, tuple):
        items = [(item, expand(item, environment)) for item in value]
        return Node(node.at, tuple(filled for item, filled in items if not left_out(item, filled)))
    if isinstance(value, str) and "${" in value:
        return Node(node.at, _REFERENCE.sub(lambda match: _replacement(match, node, environment), value))
    return node


def left_out(written: Node, filled: Node) -> bool:
    """Whether a text is `${NAME:-}` and nothing else, and NAME is not set."""
    return filled.value == "" and isinstance(written.value, str) and _OPTIONAL.fullmatch(written.value) is not None


def _replacement(match: re.Match[str], node: Node, environment: Mapping[str, str]) -> str:
    if match["literal"]:
        return "${"
    if match["end"] is None:
        raise SyntaxFault(node.at, "${ is never closed with }; write $${ for the characters themselves")
    body = _BODY.fullmatch(match["body"])
    if body is None:
        raise SyntaxFault(node.at, f"{match.group()[:SHOWN]!r} does not begin a ${{NAME}} or ${{NAME:-default}}")
    name = body["name"]
    value = environment.get(name)
    if value is None and (file := environment.get(f"{name}_FILE")):
        try:
            value = read_secret_file(file, environment)
        except OperatorError as error:
            raise SyntaxFault(node.at, f"{name}_FILE: {error.message}") from None
    if body["default"] is not None:
        return value or body["default"]
    if value is None:
        message = f"the environment variable {name} is not set; set it, or {name}_FILE, or write ${{{name}:-default}}"
        raise SyntaxFault(node.at, message)
    return value


def literal(text: str) -> str:
    """The text written so that it stands for itself."""
    return text.replace("${", "$${")
