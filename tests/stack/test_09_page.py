"""Every command of docs/DEPLOYMENT.md has been run."""

import pytest

from tests.stack.site import Site

pytestmark = pytest.mark.stack


def test_every_block_of_the_page_was_run(site: Site) -> None:
    kept = {"images"} if "images" not in site.walk.run else set()
    assert set(site.walk.blocks) - {"values"} - set(site.walk.run) - kept == set()
    assert site.walk.untagged == 0
