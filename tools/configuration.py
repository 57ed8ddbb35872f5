"""Writes docs/CONFIGURATION.md from the models of the configuration; `--check` compares."""

import json
import sys
from pathlib import Path
from typing import Any

from written import write_or_compare

from syncd.config.models import schema

PAGE = Path(__file__).resolve().parent.parent / "docs" / "CONFIGURATION.md"
HEAD = """\
# Configuration

One file: JSON with `//` and `/* */` comments and trailing commas. `--config FILE` names it, else `$SYNCD_CONFIG`, else
`./sync.json`, else `/etc/syncd/sync.json`. The same file serves every node unchanged: a node's own address in
`known_hosts` is ignored, and what has to differ comes from variables. syncd never writes it.

- `syncd init --dir DIR` writes a first one, `syncd sample-config` prints one with every key explained.
- `syncd check-config FILE` tells every mistake with its line and column, without starting; `--explain` adds the value
  of every key and where it comes from.
- `"$schema": "./config.schema.json"` lets editors complete and check; `syncd sample-config --schema` prints it.
- In every text `${NAME}` stands for an environment variable, `${NAME:-default}` has a default, and `$${` stands for
  itself. If NAME is not set but NAME_FILE is, the text of that file is taken. What is inserted is data: it is never
  parsed again. A key, or an entry of a list, that is `"${NAME:-}"` is left out where NAME is not set.
- SIGHUP (`systemctl reload syncd`) reads the file anew. Known hosts, classes, ignore rules, limits, readiness,
  intervals, log, and added and removed folders take effect at once; what needs a restart is told in the log. A file
  with a mistake changes nothing.
- A file of BitTorrent Sync 1.x loads as it is: what has no meaning here is ignored with one warning, see
  [FAQ.md](FAQ.md).

This page is written from the models in `syncd/config/models.py`, see `tools/configuration.py`.
"""
SECTIONS = {
    "": "The top level",
    "FolderModel": "Objects of `shared_folders`",
    "PriorityModel": "Objects of `priority`",
}


def page() -> str:
    """The page, as Markdown."""
    document = schema()
    names = [*SECTIONS, *sorted(set(document["$defs"]) - set(SECTIONS))]
    return HEAD + "".join(_section(document, name) for name in names)


def _section(document: dict[str, Any], name: str) -> str:
    part = document["$defs"][name] if name else document
    title = SECTIONS.get(name) or ", ".join(f"`{key}`" for key in _keys_of(document, name))
    about = f"\n{part['description']}\n" if name else ""
    rows = [_row(key, value, key in part.get("required", ())) for key, value in part["properties"].items()]
    return f"\n## {title}\n{about}\n| key | value | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _keys_of(document: dict[str, Any], name: str) -> list[str]:
    """The keys whose values are objects of this model."""
    parts = [document, *document["$defs"].values()]
    return [key for part in parts for key, value in part["properties"].items() if f'/{name}"' in json.dumps(value)]


def _row(key: str, value: dict[str, Any], required: bool) -> str:
    shown = "needed" if required else _default(value)
    return f"| `{key}` | {_kind(value)} | {shown} | {value.get('description', '')} |\n"


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default is None:
        return "-"
    return "see below" if isinstance(default, dict) else f"`{json.dumps(default)}`"


def _kind(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return _kind(next(each for each in value["anyOf"] if each.get("type") != "null"))
    if "$ref" in value:
        return "object"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    kind = value["type"][0] if isinstance(value["type"], list) else value["type"]
    if kind == "array":
        return f"list of {_kind(value['items'])}s"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)


if __name__ == "__main__":
    sys.exit(write_or_compare({PAGE: page()}))
