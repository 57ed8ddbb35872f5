"""Pages that are written from code: written, or with `--check` compared with what is there."""

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_compare(pages: Mapping[Path, str]) -> int:
    """Write the pages, or compare them if the command line says so; the exit status."""
    if "--check" in sys.argv:
        return 0 if all(path.exists() and path.read_text() == text for path, text in pages.items()) else 1
    for path, text in pages.items():
        path.write_text(text)
    return 0
