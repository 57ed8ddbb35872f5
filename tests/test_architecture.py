"""ARCHITECTURE.md lists every module, in the words of its own docstring."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_list_of_modules_is_current() -> None:
    run = subprocess.run([sys.executable, ROOT / "tools/architecture.py", "--check"], check=False)
    assert run.returncode == 0, "run python tools/architecture.py"
