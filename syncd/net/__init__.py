"""Voice: sockets and sessions. Knows nothing of the disk."""
