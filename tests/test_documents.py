"""What is written for people: pages that come from code are current, links lead somewhere, messages are real."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), ROOT / "protocol/SPEC.md"])
MESSAGES = 22  # rows of the FAQ's table at least


@pytest.mark.parametrize("tool", ["configuration", "metrics", "manual"])
def test_pages_from_code_are_current(tool: str) -> None:
    run = subprocess.run([sys.executable, ROOT / f"tools/{tool}.py", "--check"], check=False)
    assert run.returncode == 0, f"run python tools/{tool}.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_messages_of_the_faq_are_those_of_tests() -> None:
    """Each message that the FAQ shows is asked for, word by word, by a test that produces it."""
    shown = re.findall(r"^\| (`.*`) \| .* \|$", (ROOT / "docs/FAQ.md").read_text(), flags=re.MULTILINE)
    parts = [part for row in shown for part in re.findall(r"`([^`]+)`", row)]
    assert len(shown) >= MESSAGES
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    missing = [part for part in parts if part not in tests]
    assert not missing
