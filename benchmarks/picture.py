"""Tables and pictures of what the benchmarks found: a Markdown page with bars as SVG, written by hand."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, Final

_BEGIN: Final = "<!-- results: begin -->"
_END: Final = "<!-- results: end -->"
_WIDTH: Final = 720  # of a picture, pixels
_LABELS: Final = 190  # of these for names
_NUMBERS: Final = 90  # of these for values
_BAR: Final = 22
_GAP: Final = 8
_OURS: Final = "#2b6cb0"
_OTHERS: Final = "#a0aec0"
_INK: Final = "#1a202c"


def write(documents: list[dict[str, Any]], into: Path, order: Iterable[str]) -> None:
    """Put the tables of `documents` between the marks of `into`/README.md, and a picture beside it for each."""
    page = into / "README.md"
    text = page.read_text() if page.exists() else f"{_BEGIN}\n{_END}\n"
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    known = {document["benchmark"]: document for document in documents}
    parts = []
    for name in order:
        if name in known:
            parts += _section(known[name], into)
    page.write_text(f"{before}{_BEGIN}\n\n{chr(10).join(parts)}\n{_END}{after}")


def _section(document: dict[str, Any], into: Path) -> list[str]:
    name, machine = document["benchmark"], document["machine"]
    lines = [f"### {name}", "", f"{document['date']}, load average {machine['loadavg'].rsplit(' ', 2)[0]}.", ""]
    for number, report in enumerate(document["reports"]):
        lines += [f"**{report['title']}**", ""]
        if any(row[0] for row in report["rows"].values()) and len(report["rows"]) > 1:
            picture = f"pictures/{name}-{number}.svg"
            (into / "pictures").mkdir(exist_ok=True)
            (into / picture).write_text(bars(report))
            lines += [f"![{report['title']}]({picture})", ""]
        lines += [_line(["", *report["columns"]]), _line(["---", *["---:"] * len(report["columns"])])]
        lines += [_line([key, *map(number_text, row)]) for key, row in report["rows"].items()]
        lines.append("")
        for budget in report["budgets"]:
            verdict = "met" if budget["met"] else "**missed**"
            value, limit = number_text(budget["value"]), number_text(budget["limit"])
            lines.append(f"- {verdict}: {budget['what']}: {value}, at most {limit} {budget['unit']}")
        lines += [f"- binds: {report['binds']}", ""]
    return lines


def bars(report: dict[str, Any]) -> str:
    """An SVG of the first column: a bar per row, ours in blue."""
    rows = {key: row[0] or 0.0 for key, row in report["rows"].items()}
    most = max(rows.values()) or 1.0
    height = len(rows) * (_BAR + _GAP) + 40
    room = _WIDTH - _LABELS - _NUMBERS
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="{escape(report["title"])}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="20" fill="{_INK}" font-weight="bold">{escape(report["title"])}: '
        f"{escape(report['columns'][0])}</text>",
    ]
    for place, (key, value) in enumerate(rows.items()):
        top = 34 + place * (_BAR + _GAP)
        colour = _OURS if key.startswith("syncd") or "syncd" not in rows else _OTHERS
        lines += [
            f'<text x="8" y="{top + 16}" fill="{_INK}">{escape(key)}</text>',
            f'<rect x="{_LABELS}" y="{top}" width="{max(1.0, value / most * room):.1f}" height="{_BAR}" '
            f'fill="{colour}"/>',
            f'<text x="{_LABELS + value / most * room + 6:.1f}" y="{top + 16}" fill="{_INK}">{number_text(value)}'
            "</text>",
        ]
    return "\n".join([*lines, "</svg>", ""])


def number_text(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if value == int(value) and abs(value) >= 1:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
