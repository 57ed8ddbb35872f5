"""Hands: everything that touches the disk. Plain synchronous code; the node moves it to worker threads in batches."""
