from tests.store.test_scanner import *  # noqa: F403
