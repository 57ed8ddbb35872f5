from tests.store.test_applier_trouble import *  # noqa: F403
