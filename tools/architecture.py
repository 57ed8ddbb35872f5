"""Writes the list of modules in ARCHITECTURE.md from the first line of each module's docstring; `--check` compares."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
BEGIN, END = "<!-- modules: begin -->\n", "<!-- modules: end -->\n"
FLOORS = ("syncd/cli", "syncd/node", "syncd/config", "syncd/store", "syncd/net", "syncd/core", "protocol")


def modules() -> str:
    """The section, as Markdown."""
    lines = []
    for floor in FLOORS:
        package = (ROOT / floor / "__init__.py").read_text()
        lines += [f"### {floor}/", "", (ast.get_docstring(ast.parse(package)) or "").splitlines()[0], ""]
        for path in sorted((ROOT / floor).glob("*.py")):
            if path.stem.startswith("__"):
                continue
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
            lines.append(f"- `{path.stem}` {first}")
        lines.append("")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or compare; the exit status."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    wanted = f"{head}{BEGIN}{modules()}{END}{tail}"
    if "--check" in sys.argv:
        return 0 if text == wanted else 1
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
