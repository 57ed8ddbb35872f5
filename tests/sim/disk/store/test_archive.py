from tests.store.test_archive import *  # noqa: F403
