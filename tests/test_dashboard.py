"""The dashboard for Grafana: valid, and asking for declared metrics by labels that they have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from syncd.node.metrics import TABLE

DASHBOARD = json.loads((Path(__file__).parents[1] / "deploy/grafana/syncd.json").read_text())
LABELS = {metric.name: {*metric.labels, "instance", "job"} for metric in TABLE}
HISTOGRAMS = {f"{metric.name}_{part}": metric.name for metric in TABLE for part in ("bucket", "sum", "count")}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel, target) for panel in PANELS for target in panel["targets"]]
VARIABLES = {item["name"]: item for item in DASHBOARD["templating"]["list"]}


def names_in(text: str) -> set[str]:
    """The metrics that a query asks for."""
    return {HISTOGRAMS.get(name, name) for name in re.findall(r"\bsyncd_\w+", text)}


def test_it_asks_for_metrics_that_are_declared() -> None:
    asked = set().union(*(names_in(target["expr"]) for _, target in QUERIES))
    asked |= set().union(*(names_in(item.get("definition", "")) for item in VARIABLES.values()))
    assert asked <= LABELS.keys()
    assert len(asked) > len(LABELS) // 2


@pytest.mark.parametrize(("panel", "target"), QUERIES, ids=lambda item: item.get("title") or item["refId"])
def test_a_query_uses_labels_that_its_metric_has(panel: dict[str, Any], target: dict[str, Any]) -> None:
    (name,) = names_in(target["expr"])
    selected = set(re.findall(r"(\w+)=~", target["expr"]))
    grouped = {label for found in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in found.split(", ")}
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert selected | shown | (grouped - {"le"}) <= LABELS[name]
    used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
    assert used <= VARIABLES.keys()
    assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert target["expr"].count("(") == target["expr"].count(")")


def test_panels_are_told_apart_and_cover_each_other_nowhere() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
        assert panel["title"]
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(refs)) == len(refs)


def test_it_names_no_address() -> None:
    assert not re.search(r"https?://|\d+\.\d+\.\d+\.\d+", json.dumps(DASHBOARD))
