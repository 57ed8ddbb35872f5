"""A node's real database at a power cut: what was committed is kept aside, and put back in its place."""

import os
import sqlite3
from contextlib import closing


def committed(path: str) -> bytes:
    """The database as of its last commit, while others may have it open."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.serialize()


def put_back(path: str, database: bytes) -> None:
    """Make a database what it was; nobody may have it open. What its log has is forgotten."""
    for beside in ("-wal", "-shm"):
        if os.path.exists(path + beside):
            os.unlink(path + beside)
    with open(path, "wb") as file:
        file.write(database)
