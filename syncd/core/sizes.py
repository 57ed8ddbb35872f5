"""Which files take part by their size: a bound on the apparent one, whatever room a file with holes takes."""


def refusal(size: int, largest: int | None) -> str | None:
    """Why a file of `size` bytes takes no part, or None. largest: bytes, None for any."""
    if largest is None or size <= largest:
        return None
    return f"skipped: {size} bytes are more than max_file_size ({largest}): raise that, or add the path to `ignore`"
