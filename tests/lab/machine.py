"""What a test needs of the machine that it runs on."""

import os
from typing import NoReturn

import pytest


def cannot_run(message: str) -> NoReturn:
    """An error where tests count, elsewhere not."""
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
