"""`syncd need`: what is still missing, in the order in which it comes."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import click

from syncd.cli.client import Client
from syncd.cli.options import config_option, configuration, json_option, tell
from syncd.cli.wording import clean, count, need, size

MOST = 10_000  # paths that a node lists


@click.command("need")
@config_option
@click.option("--folder", metavar="DIR", help="The folder; default: all.")
@click.option("--class", "class_name", metavar="NAME", help="Only what this class lacks.")
@click.option(
    "--limit", type=click.IntRange(1, MOST), default=100, metavar="N", help="Paths to list per folder; default: 100."
)
@json_option
def command(config: str | None, folder: str | None, class_name: str | None, limit: int, as_json: bool) -> None:
    """List what is still missing, in the order in which it comes, with what keeps it away."""
    query = {"limit": str(limit)}
    if folder is not None:
        query["folder"] = os.path.abspath(folder)
    if class_name is not None:
        query["class"] = class_name
    answer = Client(configuration(config)).ask("GET", "/v1/need", query, timeout=60).checked().body
    tell(as_json, answer, _lines(answer["folders"]))


def _lines(folders: list[dict[str, Any]]) -> Iterator[str]:
    for folder in folders:
        where = clean(folder["dir"])
        if not folder["need_files"]:
            more = " of what is known so far; a peer is still telling what there is" if folder.get("listing") else ""
            yield f"{where}: nothing is missing{more}"
            continue
        yield f"{where}: {need(folder['need_files'], folder['need_bytes'])}"
        yield from (f"  {_item(item)}" for item in folder["items"])
        if (more := folder["need_files"] - len(folder["items"])) > 0:
            yield f"  and {count(more, 'path')} more; --limit N lists up to {MOST}"


def _item(item: Mapping[str, Any]) -> str:
    what = size(item["bytes"]) if item["kind"] == "file" else clean(item["kind"])
    problem = f": {clean(item['problem'])}" if item["problem"] else ""
    return f"{clean(item['class'])}  {what:>9}  {clean(item['path'])}{problem}"
