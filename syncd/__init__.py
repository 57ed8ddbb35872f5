"""Peer-to-peer file replication for servers and containers."""

__version__ = "0.1.0"
