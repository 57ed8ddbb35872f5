"""A place with a folder, a secret and room for configurations."""

from pathlib import Path

import pytest

from protocol.keys import generate_secret
from syncd.config import Loaded, load

SECRET = generate_secret(bytes(range(32)))
OTHER_SECRET = generate_secret(bytes(range(1, 33)))


class Place:
    """A directory with `site` to replicate, its secret in `site.secret` and a configuration that is written into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "sync.json"
        (root / "site").mkdir()
        (root / "other").mkdir()
        self.secret("site.secret", SECRET)
        self.secret("other.secret", OTHER_SECRET)

    def secret(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def write(self, text: str) -> Path:
        self.config.write_text(text)
        return self.config

    def load(self, text: str, **environment: str) -> Loaded:
        return load(str(self.write(text)), environment)

    def folder(self, keys: str = "", node: str = "") -> Loaded:
        """A configuration of one folder with further keys of the folder and of the node."""
        folder = f'{{"dir": "site", "secret_file": "site.secret", {keys}}}'
        return self.load(f'{{"storage_path": "state", "shared_folders": [{folder}], {node}}}')


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
