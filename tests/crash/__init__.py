"""Crashes and disk errors: real daemons that are killed, or refused, at every kind of call that changes a disk."""
