"""Whether visitors may be sent to this node: the readiness of its folders, unless it drains."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from syncd.core.readiness import Verdict
from syncd.node.draining import Drain
from syncd.node.folder import Folder


class Chosen(NamedTuple):
    """What is asked of: a class by name, or those that the configuration names; a folder by its path, or all."""

    name: str | None = None
    folder: str | None = None


EVERYTHING = Chosen()


class Admission:
    """folders: of this node; the list itself changes. page(): whether the page of this node answers."""

    def __init__(
        self, folders: Sequence[Folder], drain: Drain, page: Callable[[], Verdict] = lambda: Verdict(True, "ready")
    ) -> None:
        self._folders = folders
        self._drain = drain
        self._page = page

    def ready(self, chosen: Chosen = EVERYTHING) -> Verdict:
        """A class is asked of the folders that have it; without a class every folder must be ready."""
        name = chosen.name
        folders = [folder for folder in self.folders(chosen.folder) if name is None or name in folder.class_names]
        if not folders:
            return Verdict(False, f"no folder has a class {name}" if name else "no such folder")
        for folder in folders:
            ready, reason = folder.ready(name)
            if not ready:
                return Verdict(False, reason)
        return Verdict(True, "ready")

    def welcome(self, chosen: Chosen = EVERYTHING) -> Verdict:
        """Whether visitors may come: it does not drain, and is fit for them."""
        return Verdict(False, self._drain.reason) if self._drain.wanted else self.fit(chosen)

    def fit(self, chosen: Chosen = EVERYTHING) -> Verdict:
        """Whether it is ready, and its page answers."""
        ready = self.ready(chosen)
        return self._page() if ready.ready and chosen.name is None else ready

    @property
    def draining(self) -> bool:
        """Whether new visitors are to go elsewhere, whatever is ready."""
        return self._drain.wanted

    def folders(self, path: str | None) -> list[Folder]:
        """The folder of a path, or all."""
        return [folder for folder in self._folders if path is None or folder.settings.dir == path]

    def details(self, chosen: Chosen) -> list[dict[str, Any]]:
        """Each class of the chosen folders, for JSON."""
        return [
            {
                "dir": folder.settings.dir,
                "state": folder.standing.state(folder.peers.all()),
                "required": list(folder.settings.ready.classes) or folder.class_names,
                "classes": [class_row(folder, rank, name) for rank, name in enumerate(folder.class_names)],
            }
            for folder in self.folders(chosen.folder)
        ]


def class_row(folder: Folder, rank: int, name: str) -> dict[str, Any]:
    """How a class of a folder stands, for JSON."""
    files, size = folder.standing.facts.totals.needs.get(rank, (0, 0))
    verdict = folder.standing.verdicts[name]
    return {
        "class": name,
        "need_files": files,
        "need_bytes": size,
        "complete": verdict.ready and files == 0,
        "ready": verdict.ready,
        "reason": verdict.reason,
    }
