from tests.store.test_applier import *  # noqa: F403
