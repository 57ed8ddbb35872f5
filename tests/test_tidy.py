"""House rules that no linter knows, checked on every file. Exceptions stand in one table, each with its reason."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("protocol", "syncd")
CODE = (*PACKAGES, "tests", "benchmarks", "tools", "deploy")
TEXTS = {".py", ".md", ".sql", ".toml", ".json", ".sh", ".service", ".cfg", ""}
LONGEST = 500  # lines of a module

GENERATOR = "protocol/vectors/generate.py"
EXEMPT = {
    ("length", GENERATOR): "a second implementation in one file, to be read beside SPEC.md and carried elsewhere whole",
    ("docstrings", GENERATOR): "a script; what its parts do is the section of SPEC.md that stands above them",
    ("pure imports", GENERATOR): "a script beside the package, which no module imports",
    ("sleeps", "tests/stack/waiting.py"): "containers, balancers and pages tell nobody: they are looked at again",
    ("sleeps", "tests/sim/whole/network.py"): "on virtual time, which jumps: nobody waits",
    ("sleeps", "tests/sim/whole/node.py"): "on virtual time, which jumps: nobody waits",
}
# Callbacks whose meaning a library defines: a docstring could only repeat its manual.
FRAMEWORK = {
    "connection_made", "data_received", "buffer_updated", "eof_received", "connection_lost", "pause_writing",
    "resume_writing",
}  # fmt: skip

Problems = Iterator[tuple[str, str]]  # (file, what is wrong there)


@cache
def texts() -> dict[str, str]:
    """All files that people wrote, by path."""
    places = [ROOT / name for name in (*CODE, "docs", ".ci")]
    paths = [path for place in places for path in place.rglob("*")] + list(ROOT.iterdir())
    found = {}
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        hidden = any(part.startswith((".", "__pycache__")) for part in name.removeprefix(".ci/").split("/"))
        if path.is_file() and path.suffix in TEXTS and not hidden:
            found[name] = path.read_text()
    return found


@cache
def modules() -> dict[str, ast.Module]:
    """The Python ones, parsed."""
    return {name: ast.parse(text) for name, text in texts().items() if name.endswith(".py")}


def packaged(*below: str) -> Iterator[tuple[str, ast.Module]]:
    for name, tree in modules().items():
        if name.startswith(tuple(f"{place}/" for place in below or PACKAGES)):
            yield name, tree


def length() -> Problems:
    """No module is longer than LONGEST lines."""
    for name in modules():
        lines = len(texts()[name].splitlines())
        if lines > LONGEST:
            yield name, f"{lines} lines"


def names() -> Problems:
    """No module or directory is a place for whatever fits nowhere."""
    for name in modules():
        if re.search(r"(^|[/_])(utils?|helpers?|misc)([/_.]|$)", name):
            yield name, "a name that says nothing"


def marks() -> Problems:
    """Nothing unfinished is left as a note to somebody."""
    notes = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for name, text in texts().items():
        for number, line in enumerate(text.splitlines(), 1):
            if notes.search(line):
                yield name, f"line {number}: {line.strip()}"


def sleeps() -> Problems:
    """No test waits for time to pass; to let other tasks run, asyncio.sleep(0) is enough."""
    for name, tree in packaged("tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) == "sleep":
                argument = node.args[0] if node.args else None
                if not (isinstance(argument, ast.Constant) and argument.value == 0):
                    yield name, f"line {node.lineno} sleeps"


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def prints() -> Problems:
    """Only the face talks to the terminal."""
    for name, tree in packaged():
        for node in ast.walk(tree):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if is_print and not name.startswith("syncd/cli/"):
                yield name, f"line {getattr(node, 'lineno', 0)} prints"


def docstrings() -> Problems:
    """Every module, public class and public function says what it is for."""
    for name, tree in packaged():
        if not ast.get_docstring(tree) and tree.body:
            yield name, "no docstring"
        for what, node in public(tree.body):
            if not ast.get_docstring(node):
                yield name, f"line {node.lineno}: {what} has no docstring"


Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Documented]]:
    for node in body:
        if not isinstance(node, Documented) or node.name.startswith("_") or node.name in FRAMEWORK:
            continue
        if any(
            getattr(mark, "attr", getattr(mark, "id", "")) in ("overload", "setter") for mark in node.decorator_list
        ):
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body, f"{prefix}{node.name}.")


def pure_imports() -> Problems:
    """The pure floors import nothing that reaches the machine or the clock."""
    contracts = tomllib.loads(texts()["pyproject.toml"])["tool"]["importlinter"]["contracts"]
    contract = next(item for item in contracts if item["type"] == "forbidden")
    assert contract["source_modules"] == ["protocol", "syncd.core"]
    forbidden = set(contract["forbidden_modules"])
    for name, tree in packaged("protocol", "syncd/core"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found = {(node.module or "").split(".")[0]}
            else:
                continue
            for module in sorted(found & forbidden):
                yield name, f"line {node.lineno} imports {module}"


def machine_paths() -> Problems:
    """Nothing knows the machine on which it was written."""
    places = re.compile(r"(?<![\w.<])/(wo" r"rk|tmp" r"/v)\b(?![-.])")
    for name, text in texts().items():
        for number, line in enumerate(text.splitlines(), 1):
            if places.search(line):
                yield name, f"line {number}: {line.strip()}"


def readme() -> Problems:
    """A newcomer is met."""
    if len(texts().get("README.md", "")) < 100:
        yield "README.md", "missing"


RULES: dict[str, Callable[[], Problems]] = {
    rule.__name__.replace("_", " "): rule
    for rule in (length, names, marks, sleeps, prints, docstrings, pure_imports, machine_paths, readme)
}


def test_the_rules() -> None:
    """All in one test, since each process that asks has to parse everything."""
    found = [(rule, name, what) for rule, look in RULES.items() for name, what in look()]
    problems = [f"{rule}: {name}: {what}" for rule, name, what in found if (rule, name) not in EXEMPT]
    assert problems == [], {rule: look.__doc__ for rule, look in RULES.items()}
    assert {(rule, name) for rule, name, _ in found} >= EXEMPT.keys(), "exemptions are still needed"
    assert all(len(reason) > 20 for reason in EXEMPT.values())


def test_files_are_found() -> None:
    """Rules that look at nothing hold always."""
    assert {"protocol/SPEC.md", "protocol/limits.py", "pyproject.toml", "Makefile"} <= texts().keys()
    assert {name.split("/")[0] for name in modules()} >= {"protocol", "syncd", "tests"}
    assert not any("__pycache__" in name or "/.mypy_cache/" in name for name in texts())
