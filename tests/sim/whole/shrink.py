"""Making a failing case small: operations are dropped, and pauses made even, as long as it still fails alike."""

from tests.sim.whole.case import Case, run_case

TRIES = 400  # runs that a shrinking may cost


def alike(violation: str | None, other: str | None) -> bool:
    """Whether two violations are of one kind."""
    return violation is not None and other is not None and violation.split(":")[0] == other.split(":")[0]


def shrink(case: Case, violation: str) -> Case:
    """The smallest case found that ends with a violation of this kind."""
    tries = 0

    def fails(candidate: Case) -> bool:
        nonlocal tries
        tries += 1
        return alike(run_case(candidate).violation, violation)

    size = max(len(case.ops) + len(case.before), 1)
    while size >= 1 and tries < TRIES:
        smaller = False
        for name in ("ops", "before"):
            first = 0
            while first < len(getattr(case, name)) and tries < TRIES:
                items = getattr(case, name)
                candidate = case._replace(**{name: items[:first] + items[first + size :]})
                if fails(candidate):
                    case, smaller = candidate, True
                else:
                    first += size
        if not smaller or size > 1:
            size = size // 2 if size > 1 else 0 if not smaller else 1
    for pause in (0.0, 1.0):
        for number, (before, op) in enumerate(case.ops):
            candidate = case._replace(ops=[*case.ops[:number], (pause, op), *case.ops[number + 1 :]])
            if before != pause and before != 0.0 and tries < TRIES + 50 and fails(candidate):
                case = candidate
    return case
