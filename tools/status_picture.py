"""Writes docs/status.svg: `syncd status` of a fresh secondary that fills up from a primary, both real nodes."""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from syncd.cli.demo_nodes import DEADLINE, DemoFailed, Node, Stage
from syncd.cli.demo_site import make_site
from syncd.cli.progress import Progress
from syncd.cli.status_live import view

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs/status.svg"
SEED: Final = 7
LIMIT: Final = 12_000  # kB/s: slow enough to be seen in the middle
WIDTH: Final = 100  # columns
SHOWN_DIR: Final = "/var/www/html/wp-content"  # in place of a temporary directory
MOMENTS: Final = 3  # statuses from which the rate is taken, a second apart


def main() -> int:
    """Start both nodes, wait for the moment, write the picture; the exit status."""
    with Stage() as stage:
        primary, secondary = stage.nodes
        make_site(primary.tree, SEED)
        stage.start(primary)
        primary.wait(**{"class": "uploads"})
        slow_down(secondary)
        stage.start(secondary)
        PICTURE.write_text(picture(*moment(secondary)))
    return 0


def slow_down(node: Node) -> None:
    """Limit what it receives."""
    config = Path(node.base) / "sync.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "download_limit": LIMIT}))


def moment(node: Node) -> tuple[dict[str, Any], Progress]:
    """A status with one class complete and another one on its way, and what was seen before it."""
    progress, seen, end = Progress(), 0, time.monotonic() + DEADLINE
    while time.monotonic() < end:
        report = node.ask("/v1/status")
        progress.see(report, time.monotonic())
        folder = report["folders"][0]
        complete = [each["class"] for each in folder["classes"] if each["complete"]]
        seen = seen + 1 if complete and folder["need_bytes"] and folder["peers"] else 0
        if seen >= MOMENTS and progress.speed(folder):
            return report, progress
        time.sleep(1)
    raise DemoFailed("it filled up too fast or too slowly to be seen", 1)


def picture(report: dict[str, Any], progress: Progress) -> str:
    """The status as SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    text = json.dumps(report).replace(report["folders"][0]["dir"], SHOWN_DIR)
    shown = json.loads(text)
    console.print(view(shown, _renamed(progress, shown, report)))
    return console.export_svg(title="syncd status", unique_id="status")


def _renamed(progress: Progress, shown: dict[str, Any], report: dict[str, Any]) -> Progress:
    """The same progress, of the folder by the name that is shown."""
    old, new = report["folders"][0]["dir"], shown["folders"][0]["dir"]
    progress._most = {(new, name): most for (_, name), most in progress._most.items()}
    progress._seen[new] = progress._seen.pop(old)
    return progress


if __name__ == "__main__":
    sys.exit(main())
