"""A fresh index publishes what it found, some rows at a time."""

from collections.abc import Callable

from syncd.core.events import Settle
from syncd.node.findings import Report
from syncd.node.workshop import Workshop


async def settle(shop: Workshop, on_report: Callable[[Report], None]) -> None:
    """From the first row to the last. on_report(report): takes what each step brought."""
    low: bytes | None = b""
    while low is not None:
        report = await shop.hands.run(shop.ledger.handle, Settle(low))
        low = report.resume
        on_report(report)
