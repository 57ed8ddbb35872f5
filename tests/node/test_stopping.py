"""A folder that is stopped while something of it is about to begin."""

import asyncio
import os
from pathlib import Path

from protocol.keys import generate_secret
from tests.lab.inside import Inside


async def test_a_scan_that_ends_while_the_folder_stops(tmp_path: Path) -> None:
    """Its tasks hear of the end one after the other: between two of them the scan may have come to its own."""
    inside = Inside(tmp_path / "one", generate_secret(os.urandom(32)))
    running = asyncio.create_task(inside.folder.run())
    try:
        await inside.folder.wait_refresh()
        running.cancel()
        await asyncio.sleep(0)  # the outermost group of tasks has heard of it, those within have not
        inside.folder._scan_phase(begins=False)
        await asyncio.wait([running])
        assert running.cancelled()
    finally:
        await inside.endpoint.close()
        inside.shop.close()
