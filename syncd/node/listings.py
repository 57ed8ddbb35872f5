"""What staging and archive are to keep at a start, as containers that ask the index."""

from syncd.store.contents import Contents


class Listed:
    """The names that the index lists in the archive."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and self._contents.archive_has(name)


class Wanted:
    """The contents that some path needs."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def __contains__(self, content: object) -> bool:
        return isinstance(content, bytes) and self._contents.is_wanted(content)


class Everything:
    """Contains whatever it is asked for: contents under way are kept until it is known that nobody needs them."""

    def __contains__(self, _item: object) -> bool:
        return True
