from tests.store.test_scanner_compare import *  # noqa: F403
