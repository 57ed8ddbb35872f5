"""What all tests share: property tests without a deadline, with the same examples in every run of CI."""

import os

from hypothesis import settings

settings.register_profile("syncd", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("syncd")
