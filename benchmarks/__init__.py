"""One question per module, each runnable alone: `python -m benchmarks.NAME`."""
