from tests.store.test_applier_races import *  # noqa: F403
