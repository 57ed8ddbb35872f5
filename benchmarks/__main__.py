"""Everything, one benchmark after the other: `make bench`. Tables, pictures and one JSON document are the result.

    python -m benchmarks [--runs 5] [--into DIRECTORY] [NAME ...]

README.md in this directory gets the tables and the pictures, unless another directory is named.
"""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks import picture

BETWEEN_NODES: Final = (
    "first_sync", "latency", "restart", "delta", "memory", "idle", "rate_limits", "mesh", "growth", "long_link",
    "durability",
)  # fmt: skip
IN_PARTS: Final = (
    "transport",
    "packing",
    "merkle",
    "scanning",
    "index_commit",
    "applying",
    "event_to_record",
    "startup",
)


def main() -> int:
    """Measure what was asked for, and write what was found; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = (*BETWEEN_NODES, *IN_PARTS)
    parser.add_argument("names", nargs="*", choices=[*everything, []], default=[])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--into", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    results = options.into / "results"
    results.mkdir(exist_ok=True)
    failed = []
    for name in options.names or everything:
        target = results / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--runs", str(options.runs), "--json", str(target)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    documents = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    picture.write(documents, options.into, everything)
    print(*(f"{name}: failed" for name in failed), sep="\n")
    return 1 if failed else 0


def question(name: str) -> str:
    """What a benchmark asks: the beginning of its description."""
    return (importlib.import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0].partition("?")[0] + "?"


if __name__ == "__main__":
    sys.exit(main())
