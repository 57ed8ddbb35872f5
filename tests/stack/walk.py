"""docs/DEPLOYMENT.md as a program: its blocks of commands, run as they are printed."""

import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.stack.waiting import patient

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/DEPLOYMENT.md"
DEADLINE = 600.0  # seconds for a block
_BLOCK = re.compile(r"<!-- (?:run: )?(?P<name>[a-z-]+) -->\n```sh\n(?P<text>.*?)```", re.DOTALL)


class StepFailed(Exception):
    """A block of the page did not work; the message has its output."""


class Walk:
    """Runs blocks of a page in the repository. environment: the page's values, and what its programs need."""

    def __init__(self, environment: Mapping[str, str], page: Path = PAGE) -> None:
        self.environment = dict(environment)
        self.blocks = {found["name"]: found["text"] for found in _BLOCK.finditer(page.read_text())}
        self.untagged = page.read_text().count("```sh") - len(self.blocks)
        self.run: dict[str, float] = {}  # seconds by name

    def __call__(self, name: str, **values: str) -> str:
        """What a block prints. values: of this run only. Raises StepFailed."""
        begun = time.monotonic()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.blocks[name]],
            cwd=REPOSITORY,
            env={**self.environment, **values},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=patient(DEADLINE),
        )
        if done.returncode:
            raise StepFailed(f"{name}: {done.returncode}\n{done.stdout[-3_000:]}\n{done.stderr[-3_000:]}")
        self.run[name] = time.monotonic() - begun
        return done.stdout + done.stderr
