from tests.store.test_staging import *  # noqa: F403
