from tests.store.test_hasher import *  # noqa: F403
