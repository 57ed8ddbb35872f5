"""A secret that people made up is no secret: whoever records one packet could try all that people think of."""

import os

import pytest

from syncd.config import load
from syncd.config.errors import ConfigError
from tests.config.conftest import Place


@pytest.mark.parametrize("secret", ["hunter2", "correct horse battery staple", "wordpress" * 8])
def test_a_passphrase_is_refused_with_an_explanation(place: Place, secret: str) -> None:
    file = place.root / "passphrase"
    file.touch(mode=0o600)
    file.write_text(secret)
    place.write(f'{{"shared_folders": [{{"secret_file": "{file}", "dir": "{place.root / "site"}"}}]}}')
    with pytest.raises(ConfigError, match="passphrases are refused, because") as caught:
        load(str(place.config), dict(os.environ))
    assert secret not in str(caught.value)
