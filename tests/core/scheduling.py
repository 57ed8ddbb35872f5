"""A scheduler, what it is asked for, and answers to it."""

from syncd.core.scheduler import REQUEST_BYTES, Request, Scheduler, Wanted


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def want(
    scheduler: Scheduler, numbers: range | list[int], rank: int = 0, group: bytes = b"", length: int = 1_000
) -> None:
    """Want small objects in the order of their numbers."""
    for number in numbers:
        scheduler.want(Wanted(name(number), False, group, length, rank, number))


def numbers(requests: list[Request]) -> list[int]:
    return [int.from_bytes(id_, "big") for request in requests for id_ in request.ids]


def answer(scheduler: Scheduler, request: Request, now: float = 0.0, size: int = 1_000) -> int:
    """All of a request arrives, or with size -1 nothing of it. How much was wanted."""
    ids = scheduler.match(request.peer, request.number, len(request.ids))
    assert ids == request.ids
    return sum(scheduler.arrived(request.number, id_, size, now) for id_ in ids)


def started(*peers: str) -> Scheduler:
    scheduler = Scheduler()
    for peer in peers:
        scheduler.join(peer)
    return scheduler


def proven(scheduler: Scheduler, *peers: str) -> None:
    """Each peer has given something already."""
    for number, _ in enumerate(peers):
        want(scheduler, [1_000_000 + number], length=REQUEST_BYTES)
    for request in scheduler.requests(0.0):
        answer(scheduler, request)
