"""Modes and amounts."""

import pytest

from syncd.config.values import Amount, parse_amount, parse_mode, parse_size


@pytest.mark.parametrize(
    ("text", "amount", "of_a_million"),
    [
        ("5%", Amount(5.0, None), 50_000),
        ("0.5 %", Amount(0.5, None), 5_000),
        ("100%", Amount(100.0, None), 1_000_000),
        ("10 GB", Amount(None, 10**10), 10**10),
        ("1.5MiB", Amount(None, 3 << 19), 3 << 19),
        ("500K", Amount(None, 500_000), 500_000),
        ("0", Amount(None, 0), 0),
        ("12 B", Amount(None, 12), 12),
    ],
)
def test_amounts(text: str, amount: Amount, of_a_million: int) -> None:
    assert parse_amount(text) == amount
    assert amount.of(1_000_000) == of_a_million


@pytest.mark.parametrize("text", ["", "%", "-5%", "101%", "5 percent", "GB", "5 PB", "1e3", "1.2.3"])
def test_wrong_amounts(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a share|at most 100%"):
        parse_amount(text)


@pytest.mark.parametrize(("text", "size"), [("10G", 10**10), ("4096", 4096), ("1.5 MiB", 3 << 19)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5%", "0", "0 GB", "-1", "large"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size of one byte"):
        parse_size(text)


@pytest.mark.parametrize(("text", "mode"), [("0644", 0o644), ("755", 0o755), ("0000", 0)])
def test_modes(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "644 ", "0888", "4755", "02755", "0o644", "rw-r--r--"])
def test_wrong_modes(text: str) -> None:
    with pytest.raises(ValueError, match="octal"):
        parse_mode(text)
