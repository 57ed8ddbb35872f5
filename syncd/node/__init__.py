"""The daemon: lifetimes and wiring of judgement, hands and voice."""
