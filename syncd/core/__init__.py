"""Judgement: pure decisions about records, order and peers. Time, randomness and identity arrive as arguments."""
