"""One site for all tests of the stack, which run in the order of the story.

While writing them, STACK_ENGINE_DIR keeps the engine's directory from run to run, and STACK_IMAGES=keep its images.
"""

import os
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack.large import fill
from tests.stack.machine import prepare
from tests.stack.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    reason = prepare()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"make test-stack {reason}", pytrace=False)
        pytest.skip(f"make test-stack {reason}")
    with tempfile.TemporaryDirectory(prefix="syncd-stack-") as directory:
        site = Site(Path(directory))
        try:
            site.open()
            yield site
        finally:
            print(f"\n{site.times.text()}")
            site.close()


@pytest.fixture(scope="session")
def large(site: Site) -> Iterator[Future[None]]:
    """600 MB more on the host, written beside the tests from the first one on that asks for this."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(fill, site)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the containers and the balancer said, where a test failed."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(site, Site):
        report.sections.append(("the site", site.explain()))
    return report
