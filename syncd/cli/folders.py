"""`syncd folders`: the folders of the node, one line each."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.status_text import contents, uncounted
from syncd.cli.wording import clean, need

_KEYS = (
    "dir", "id", "fingerprint", "tier", "state", "reason", "settled", "root", "files", "bytes", "uncounted",
    "need_files", "need_bytes", "conflicts", "problem_count",
)  # fmt: skip


@click.command("folders")
@config_option
@json_option
def command(config: str | None, as_json: bool) -> None:
    """List the folders: state, access, what is in them and what is missing."""
    report = Client(configuration(config)).ask("GET", "/v1/status").checked().body
    folders = [{key: folder[key] for key in _KEYS if key in folder} for folder in report["folders"]]
    tell(as_json, {"folders": folders}, _lines(folders))


def _lines(folders: list[dict[str, Any]]) -> Iterator[str]:
    for folder in folders:
        yield f"{clean(folder['dir'])}: {', '.join(_parts(folder))}"


def _parts(folder: Mapping[str, Any]) -> Iterator[str]:
    yield from filter(None, (clean(folder["state"]), clean(folder.get("tier"))))
    yield from filter(None, (contents(folder), uncounted(folder)))
    if folder["need_files"]:
        yield need(folder["need_files"], folder["need_bytes"])
    if fingerprint := clean(folder.get("fingerprint")):
        yield f"secret {fingerprint}"
