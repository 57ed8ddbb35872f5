from tests.store.test_watch_inotify import *  # noqa: F403
