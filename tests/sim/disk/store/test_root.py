from tests.store.test_root import *  # noqa: F403
