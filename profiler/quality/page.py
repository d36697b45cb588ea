"""The report as one HTML page: nothing is loaded from anywhere, nothing in it is executed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from profiler.quality.examples import Example
from profiler.quality.facts import DIMENSIONS
from profiler.quality.report import Finding, Report
from profiler.quality.words import day, distinct, share, span, title

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--faint:#8881;--bar:#d9822b}
*{box-sizing:border-box}
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;max-width:66rem;padding:1rem}
h1{font-size:1.35rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin-top:2rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.6rem;padding:0}
.figures div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .7rem}
.figures dt{font-size:.8rem}.figures dd{margin:0;font-size:1.25rem;font-weight:600}
.table{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
meter{width:5rem}
details{font-size:.85rem}summary{cursor:pointer}
details dl{margin:.3rem 0;padding:.3rem .5rem;background:var(--faint);border-radius:.3rem}
details dt{font-weight:600;overflow-wrap:anywhere}details dd{margin:0;overflow-wrap:anywhere}
"""

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def page(report: Report) -> str:
    """Write the report as a page that stands alone."""
    name = escape(title(report))
    body = "\n".join(
        [
            f"<h1>{name}</h1>",
            _figures(report),
            *_findings(report),
            *_columns(report),
            *_fields(report),
            *_times(report),
            *(f"<p>{escape(limit)}</p>" for limit in report.limits),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>Data quality: {name}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _figures(report: Report) -> str:
    figures = {
        "rows": report.rows,
        "events": report.events,
        "refused": report.refused,
        "unused": report.unused,
    }
    boxes = "".join(f"<div><dt>{name}</dt><dd>{n:,}</dd></div>" for name, n in figures.items())
    return f'<dl class="figures">{boxes}</dl>'


def _findings(report: Report) -> list[str]:
    written = ["<h2>Problems</h2>"]
    if not report.findings:
        written.append("<p>None were found.</p>")
    for dimension in DIMENSIONS:
        found = [f for f in report.findings if f.dimension == dimension]
        if found:
            written += [
                f"<h3>{dimension.capitalize()}</h3>",
                _table(("problem", "number", "share", "of"), map(_finding, found)),
            ]
    return written


def _finding(finding: Finding) -> tuple[str, ...]:
    examples = "".join(map(_example, finding.examples))
    more = f"<details><summary>examples</summary>{examples}</details>" if examples else ""
    return (
        escape(finding.says) + more,
        f"{finding.count:,}",
        f'{share(finding.count, finding.of)} <meter value="{finding.share:.4f}"></meter>',
        f"{finding.of:,} {finding.unit}",
    )


def _example(example: Example) -> str:
    shown = ", ".join(f"{escape(name)}: {escape(text)}" for name, text in example.shows.items())
    return f"<dl><dt>{escape(example.at)}</dt><dd>{shown}</dd></dl>"


def _columns(report: Report) -> list[str]:
    if not report.columns:
        return []
    head = ("column", "missing", "share", "says nothing", "white space around", "different values")
    rows = (
        (
            escape(column.name),
            f"{column.missing:,}",
            share(column.missing, column.rows),
            f"{column.placeholders:,}",
            f"{column.padded:,}",
            distinct(column),
        )
        for column in report.columns
    )
    return ["<h2>Columns</h2>", _table(head, rows)]


def _fields(report: Report) -> list[str]:
    if not report.fields:
        return []
    head = ("type", "field", "missing", "share", "events")
    rows = (
        (
            escape(one.type),
            escape(one.field),
            f"{one.missing:,}",
            share(one.missing, one.events),
            f"{one.events:,}",
        )
        for one in report.fields
    )
    return ["<h2>Fields of events</h2>", _table(head, rows, n_texts=2)]


def _times(report: Report) -> list[str]:
    times = report.times
    if times.first_ms is None or times.last_ms is None:
        return []
    rows = [
        ("days", f"{times.days:,}"),
        ("days without any event", f"{times.days_without:,}"),
        ("out of order", f"{times.out_of_order:,}"),
        ("late by at most", span(times.late_max_ms)),
        *((f"gap from {day(gap.first_day_ms)}", f"{gap.days:,} days") for gap in times.gaps),
        *((f"recorded after {name}", f"{n:,}") for name, n in times.delays.items()),
    ]
    between = f"{day(times.first_ms)} to {day(times.last_ms)}"
    return ["<h2>Times</h2>", f"<p>{between}</p>", _table(("what", "number"), rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], n_texts: int = 1) -> str:
    """A table of cells that are HTML already; all but the first few columns are numbers."""

    def row(tag: str, cells: Sequence[str]) -> str:
        kinds = ("" if k < n_texts else ' class="n"' for k in range(len(cells)))
        written = (f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(written)}</tr>"

    body = "\n".join(row("td", cells) for cells in rows)
    return f'<div class="table"><table>\n{row("th", head)}\n{body}\n</table></div>'
