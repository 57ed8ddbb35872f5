from tests.store.test_applier_differs import *  # noqa: F403
