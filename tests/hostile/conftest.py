"""One target per module: starting daemons is what costs."""

from collections.abc import Iterator

import pytest

from tests.hostile.target import Target


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    target = Target.start(tmp_path_factory.mktemp("target"))
    with target.cluster:
        yield target
