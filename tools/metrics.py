"""Writes docs/METRICS.md from the table of metrics; `--check` compares."""

import sys
from pathlib import Path

from written import write_or_compare

from syncd.node.metrics import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "METRICS.md"
HEAD = """\
# Metrics

`"http": {"listen": "127.0.0.1:8385"}` serves them at `/metrics`, in the text format of Prometheus; so does the control
socket: `curl --unix-socket /var/lib/syncd/control.sock http://syncd/metrics`. They hold no path and no secret: folders
are named by the fingerprint that `syncd status` shows, peers by name and id. Counters begin at zero with each start.
[Alert rules](../deploy/prometheus/syncd.rules.yml) for them are in the repository; what to do about each alert stands
in its annotation. [A dashboard for Grafana](../deploy/grafana/syncd.json) shows them: Dashboards, New, Import.

This page is written from the table in `syncd/node/metrics.py`, see `tools/metrics.py`.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The page, as Markdown."""
    rows = [f"| `{each.name}` | {each.kind} | {', '.join(each.labels) or '-'} | {each.meaning} |\n" for each in TABLE]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.exit(write_or_compare({PAGE: page()}))
