"""Metrics for Prometheus: one declared table, whose values come from the status document.

Labels name folders by fingerprint, classes and peers; never a path. docs/METRICS.md is written from the table.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any, Final, NamedTuple

STATES: Final = ("starting", "scanning", "waiting", "syncing", "in-sync", "held", "error")

Labels = tuple[str, ...]
Values = Iterator[tuple[Labels, float]]


class Metric(NamedTuple):
    """kind: "gauge", "counter" or "histogram". labels: their names. read(status): {label values: value}."""

    name: str
    kind: str
    labels: Labels
    meaning: str
    read: Callable[[dict[str, Any]], Values] | None  # None: a histogram, whose buckets the status document has


def _node(key: str) -> Callable[[dict[str, Any]], Values]:
    return lambda status: iter([((), float(status["node"][key]))])


def _info(status: dict[str, Any]) -> Values:
    yield (status["node"]["name"], status["node"]["version"]), 1.0


def _folders(value: Callable[[dict[str, Any]], float]) -> Callable[[dict[str, Any]], Values]:
    return lambda status: (((folder["fingerprint"],), float(value(folder))) for folder in status["folders"])


def _folder(key: str) -> Callable[[dict[str, Any]], Values]:
    return _folders(lambda folder: folder[key])


def _counter(key: str) -> Callable[[dict[str, Any]], Values]:
    return _folders(lambda folder: folder["counters"][key])


def _states(status: dict[str, Any]) -> Values:
    for folder in status["folders"]:
        for state in STATES:
            yield (folder["fingerprint"], state), float(folder["state"] == state)


def _classes(key: str) -> Callable[[dict[str, Any]], Values]:
    return lambda status: (
        ((folder["fingerprint"], row["class"]), float(row[key]))
        for folder in status["folders"]
        for row in folder["classes"]
    )


def _peers(key: str) -> Callable[[dict[str, Any]], Values]:
    """Of those that are connected. Two peers may have one name: their ids tell them apart."""
    return lambda status: (
        ((folder["fingerprint"], peer["name"], peer["id"]), float(peer.get(key) or 0))
        for folder in status["folders"]
        for peer in folder["peers"]
        if peer["connected"]
    )


def _connected(wanted: bool) -> Callable[[dict[str, Any]], Values]:
    return _folders(lambda folder: sum(peer["connected"] == wanted for peer in folder["peers"]))


_FOLDER: Final = ("folder",)
_CLASS: Final = ("folder", "class")
_PEER: Final = ("folder", "peer", "id")

TABLE: Final = (
    Metric("syncd_info", "gauge", ("name", "version"), "1; the labels say which node this is.", _info),
    Metric("syncd_uptime_seconds", "gauge", (), "Seconds since the start.", _node("uptime_seconds")),
    Metric("syncd_ready", "gauge", (), "1 if visitors may be sent to this node: /readyz answers 200.", _node("ready")),
    Metric("syncd_draining", "gauge", (), "1 if the node was told to drain, or is stopping.", _node("draining")),
    Metric("syncd_folder_state", "gauge", ("folder", "state"), "1 for the state that the folder is in.", _states),
    Metric("syncd_folder_files", "gauge", _FOLDER, "Files of the manifest.", _folder("files")),
    Metric("syncd_folder_bytes", "gauge", _FOLDER, "Bytes of these files.", _folder("bytes")),
    Metric("syncd_need_files", "gauge", _FOLDER, "Paths that this disk does not hold yet.", _folder("need_files")),
    Metric("syncd_need_bytes", "gauge", _FOLDER, "Bytes that are still to come at most.", _folder("need_bytes")),
    Metric("syncd_class_ready", "gauge", _CLASS, "1 if the class is ready.", _classes("ready")),
    Metric("syncd_class_need_files", "gauge", _CLASS, "Paths of the class that are needed.", _classes("need_files")),
    Metric("syncd_class_need_bytes", "gauge", _CLASS, "Bytes of the class that are needed.", _classes("need_bytes")),
    Metric("syncd_peers_connected", "gauge", _FOLDER, "Peers with a session.", _connected(True)),
    Metric(
        "syncd_peers_absent", "gauge", _FOLDER, "Addresses that are dialled, and nobody is there.", _connected(False)
    ),
    Metric(
        "syncd_peer_lag_seconds",
        "gauge",
        _PEER,
        "Seconds for which the peer has not had what this node has, or the other way round; 0 in sync.",
        _peers("lag_seconds"),
    ),
    Metric(
        "syncd_peer_received_bytes_total", "counter", _PEER, "Bytes from the peer, this session.", _peers("bytes_in")
    ),
    Metric("syncd_peer_sent_bytes_total", "counter", _PEER, "Bytes to the peer, this session.", _peers("bytes_out")),
    Metric("syncd_received_bytes_total", "counter", _FOLDER, "Bytes from all peers.", _folder("bytes_in")),
    Metric("syncd_sent_bytes_total", "counter", _FOLDER, "Bytes to all peers.", _folder("bytes_out")),
    Metric("syncd_fetched_bytes_total", "counter", _FOLDER, "Bytes of contents that came.", _folder("fetched_bytes")),
    Metric("syncd_applied_total", "counter", _FOLDER, "Paths brought to what peers say.", _counter("applied")),
    Metric("syncd_published_total", "counter", _FOLDER, "Records of this node's own changes.", _counter("published")),
    Metric("syncd_durable_batches_total", "counter", _FOLDER, "Batches that were synced.", _counter("durable_batches")),
    Metric(
        "syncd_apply_problems_total",
        "counter",
        _FOLDER,
        "Paths that could not be applied, each time.",
        _counter("apply_problems"),
    ),
    Metric(
        "syncd_watch_overflows_total",
        "counter",
        _FOLDER,
        "How often events of the watcher were lost; a scan follows.",
        _counter("watch_overflows"),
    ),
    Metric(
        "syncd_apply_latency_seconds",
        "histogram",
        _FOLDER,
        "From hearing of a change to its being on this disk.",
        None,
    ),
    Metric(
        "syncd_behind_seconds",
        "gauge",
        _FOLDER,
        "Seconds for which this node has needed something; 0: it does not.",
        _folders(lambda folder: folder.get("behind_seconds") or 0),
    ),
    Metric(
        "syncd_conflicts", "gauge", _FOLDER, "Paths with versions that lost; `syncd conflicts`.", _folder("conflicts")
    ),
    Metric(
        "syncd_problems", "gauge", _FOLDER, "Paths with trouble; `syncd status` lists them.", _folder("problem_count")
    ),
    Metric(
        "syncd_alarms",
        "gauge",
        _FOLDER,
        "What somebody has to look at; `syncd status` lists them.",
        _folders(lambda folder: len(folder["alarms"])),
    ),
    Metric(
        "syncd_held_deletions",
        "gauge",
        _FOLDER,
        "Deletions that wait for `syncd approve` or `syncd reject`.",
        _folders(lambda folder: folder["held"]["deletions"]),
    ),
    Metric(
        "syncd_held_reverts",
        "gauge",
        _FOLDER,
        "Files that went back to earlier contents, and wait as well.",
        _folders(lambda folder: folder["held"]["reverts"]),
    ),
    Metric(
        "syncd_held_rewrites",
        "gauge",
        _FOLDER,
        "Rewritten files that wait as well, with `hold_rewrites`.",
        _folders(lambda folder: folder["held"]["rewrites"]),
    ),
    Metric(
        "syncd_archive_bytes",
        "gauge",
        _FOLDER,
        "Bytes in the archive, as of its latest count.",
        _folder("archive_bytes"),
    ),
    Metric(
        "syncd_watched",
        "gauge",
        _FOLDER,
        "1 if every directory is watched; else changes are found by scans.",
        _folder("watching"),
    ),
)


def exposition(status: dict[str, Any]) -> tuple[bytes, str]:
    """The metrics of a status document in the text format of Prometheus, and its content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    """What the library asks for families of samples."""

    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def describe(self) -> Iterable[Any]:
        """Nothing in advance."""
        return ()

    def collect(self) -> Iterator[Any]:
        """One family for each metric."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for metric in TABLE:
            if metric.read is None:
                histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
                for folder in self._status["folders"]:
                    latency = folder["counters"]["apply_latency"]
                    histogram.add_metric([folder["fingerprint"]], _buckets(latency), latency["sum_seconds"])
                yield histogram
                continue
            family = (GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily)(
                metric.name, metric.meaning, labels=metric.labels
            )
            for labels, value in metric.read(self._status):
                family.add_metric(labels, value)
            yield family


def _buckets(latency: dict[str, Any]) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:g}" for bound in latency["bounds_seconds"]), "+Inf"]
    return list(zip(bounds, accumulate(map(float, latency["counts"])), strict=True))
