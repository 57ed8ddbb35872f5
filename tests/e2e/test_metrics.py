"""Two daemons, seen with the eyes of Prometheus."""

import http.client
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.lab.cluster import Cluster, Daemon, await_file


def scrape(daemon: Daemon) -> dict[str, float]:
    """Sums over labels."""
    connection = http.client.HTTPConnection(daemon.address, daemon.http_port, timeout=10.0)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/plain")
        text = response.read().decode()
    finally:
        connection.close()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_a_change_shows_on_both_sides(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        one = cluster.add("one", http=True)
        (one.tree / "first").write_bytes(b"1")
        one.start()
        two = cluster.add("two", knows=[one], http=True).start()
        cluster.converge()
        (one.tree / "upload").write_bytes(b"content")
        await_file(two.tree / "upload", b"content")
        cluster.converge()
        here, there = scrape(one), scrape(two)
    assert here["syncd_published_total"] >= 1
    assert there["syncd_applied_total"] >= 1
    assert there["syncd_apply_latency_seconds_count"] >= 1
    assert here["syncd_folder_files"] == there["syncd_folder_files"] == 2
    assert here["syncd_peers_connected"] == there["syncd_peers_connected"] == 1
    assert here["syncd_need_files"] == there["syncd_need_files"] == 0
