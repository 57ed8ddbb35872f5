from tests.store.test_directories import *  # noqa: F403
