"""Whether a class of a folder is complete, and whether the node may say so: the table of DESIGN's "Ready".

A class is judged from facts alone, so that a test can walk the table.
"""

from typing import NamedTuple


class ClassFacts(NamedTuple):
    """What is known of one class."""

    reconciled: bool  # with a settled peer, in this run or an earlier one
    needs: int  # paths of the class that the disk does not hold yet
    holds_records: bool  # whether the class has at least one live record
    was_ready: bool  # the index remembers it as ready
    lag: float | None  # seconds for which it has needed something without a pause; None: nothing, or no peer is there


class FolderFacts(NamedTuple):
    """What is known of the folder."""

    fresh: bool  # the index is fresh
    tree_matches: bool  # the marker of the tree is the one that the index remembers
    held: bool  # the folder was found in a state that nothing is done about without the operator
    allow_empty: bool
    alone_for: float | None  # seconds without any session, None while there is one
    alone_after: float | None  # seconds; None: being alone never makes ready
    files: int  # live files of its manifest
    max_need: float  # percent of these that a class which was ready may need
    max_lag: float  # seconds for which it may need more than that


class Verdict(NamedTuple):
    """Ready or not, and why not."""

    ready: bool
    reason: str


def judge(name: str, of_class: ClassFacts, folder: FolderFacts) -> Verdict:
    """Whether the class `name` is ready."""
    if folder.held:
        return Verdict(False, "the folder is held")
    if of_class.was_ready and not folder.fresh and folder.tree_matches:
        if not _far_behind(of_class, folder):
            return Verdict(True, "was ready before, and the tree is still there")
        return Verdict(False, f"{of_class.needs} paths of {name} are still to come, for longer than ready.max_lag")
    if not of_class.reconciled and not _alone(folder):
        if folder.fresh:
            return Verdict(False, "waiting for a settled peer")
        return Verdict(False, "not yet compared with a settled peer")
    if of_class.needs:
        return Verdict(False, f"{of_class.needs} paths of {name} are still to come")
    if not of_class.holds_records and not folder.allow_empty:
        return Verdict(False, f"nothing is known of {name} yet; if it may be empty: ready.allow_empty")
    return Verdict(True, "complete")


def _far_behind(of_class: ClassFacts, folder: FolderFacts) -> bool:
    """Readiness is sticky: either of the two bounds is enough to keep it. Where no peer is there, nobody is ahead."""
    much = of_class.needs * 100 >= folder.files * folder.max_need
    return of_class.needs > 0 and much and of_class.lag is not None and of_class.lag >= folder.max_lag


def _alone(folder: FolderFacts) -> bool:
    return (
        not folder.fresh
        and folder.files > 0
        and folder.alone_after is not None
        and folder.alone_for is not None
        and folder.alone_for >= folder.alone_after
    )
