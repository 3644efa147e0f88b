"""report.html: one self-contained page."""

import base64
import json
import pathlib
import re
from collections.abc import Iterable
from html import escape

from experiments.reporting import provenance, search_rows
from experiments.reporting.comparison import Entry, Section, Table
from experiments.reporting.figures import Gallery
from experiments.reporting.markdown import HOW_TO_READ, TITLE
from experiments.reporting.measured import Measured, MeasuredCell
from experiments.reporting.table_figures import ReportFigure
from experiments.text import DASH, signed, with_deviation

EVEN = 0.5  # differences of up to this many points are not coloured
ABOUT = (
    "Wang, Kodirov, Hua and Robertson, <cite>Derivative Manipulation for General Example "
    "Weighting</cite>, arXiv 1905.11233, run again in JAX."
)


def page(tables: list[Table], gallery: Gallery, folder: pathlib.Path) -> str:
    """The whole page; `folder` holds the figures that `gallery` names."""
    css = (pathlib.Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    shown = [table for table in tables if table.cells]
    body = [
        f"<h1>{TITLE}</h1>",
        f'<p class="lead">{ABOUT}</p>',
        _overview(tables),
        f'<p class="muted">{HOW_TO_READ} {_legend()}</p>',
        _figures(gallery.of_table(None), folder),
        *(_table(table, gallery, folder) for table in shown),
        _not_drawn(gallery),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{TITLE}</title>\n<link rel="icon" href="data:,">\n<style>\n{css}</style>\n'
        f"</head>\n<body>\n<main>\n{_lines(body)}\n</main>\n</body>\n</html>\n"
    )


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def _legend() -> str:
    return (
        f'Differences: <span class="difference above">{signed(1.2)}</span> above the paper, '
        f'<span class="difference below">{signed(-1.2)}</span> below, '
        f'<span class="difference even">{signed(0.2)}</span> within {EVEN} points.'
    )


def _overview(tables: list[Table]) -> str:
    items = []
    for table in tables:
        state = "none" if not table.cells else "part" if table.missing else "full"
        name = escape(table.heading)
        link = f'<a href="#{_anchor(table)}">{name}</a>' if table.cells else name
        items.append(
            f'<li><span class="name">{link}</span><span>{escape(table.title)}</span>'
            f'<span class="state {state}">{escape(table.status)}</span></li>'
        )
    return f'<ul class="overview">\n{_lines(items)}\n</ul>'


def _anchor(table: Table) -> str:
    return f"table-{escape(table.name)}"


def _table(table: Table, gallery: Gallery, folder: pathlib.Path) -> str:
    figures = gallery.of_table(table.name)
    curves = [figure for figure in figures if figure.is_curves]
    parts = [
        f'<section id="{_anchor(table)}">',
        f"<header><h2>{escape(table.heading)}</h2>",
        f'<p class="lead">{escape(table.title)}</p>',
        f'<p class="muted">Run: {escape(table.status)}.</p></header>',
        *(_section(section, table) for section in table.sections),
        *(
            f'<p class="muted"><b>{label}:</b> {escape(text)}.</p>'
            for label, text in table.remarks.items()
        ),
        _figures([figure for figure in figures if not figure.is_curves], folder),
        _folded(f"Curves over training ({len(curves)})", _figures(curves, folder)),
        _searched(table),
        _provenance(table),
        "</section>",
    ]
    return _lines(parts)


def _folded(summary: str, content: str) -> str:
    if not content:
        return ""
    return f"<details>\n<summary>{escape(summary, quote=False)}</summary>\n{content}\n</details>"


def _section(section: Section, table: Table) -> str:
    rows = [
        f'<tr class="{"quoted" if table.source(row) else "own"}">{_row(row, table)}'
        + "".join(_entry(section.entries[row, column]) for column in section.columns)
        + "</tr>"
        for row in section.rows
    ]
    heading = f"<h3>{escape(section.title)}</h3>" if section.title else ""
    label = f"{table.heading} {section.title}".strip()
    return _lines([heading, _grid((table.head, *section.columns), rows, label=label)])


def _grid(columns: Iterable[str], rows: list[str], *, label: str, kind: str = "") -> str:
    """A table that scrolls inside its own box, by keyboard too."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return (
        f'<div class="scroll grid {kind}" tabindex="0" role="region" '
        f'aria-label="{escape(label)}">\n<table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{_lines(rows)}\n</tbody>\n</table>\n</div>"
    )


def _row(row: str, table: Table) -> str:
    source = table.source(row)
    note = f'<div class="fine">from {escape(source)}</div>' if source else ""
    return f'<th scope="row">{_breakable(row)}{note}</th>'


def _breakable(name: str) -> str:
    """A name, escaped, that may break after commas, plus signs and spaces."""
    return re.sub(r"([,+ ])", r"\1<wbr>", escape(name))


def _entry(entry: Entry) -> str:
    fine = [_best(entry.best, entry.best_top)] if entry.best else []
    if entry.seeds:
        fine.append(entry.seeds)
    parts = [
        _value(entry),
        _against(entry),
        f'<div class="fine">{" · ".join(fine)}</div>' if fine else "",
        f'<span class="scale">{escape(entry.mark)}</span>' if entry.mark else "",
    ]
    return f"<td>{''.join(parts)}</td>"


def _value(entry: Entry) -> str:
    if entry.measured is None and not entry.note and entry.paper is not None:
        return ""  # a quoted number stands alone
    if entry.measured is None:
        return f'<div class="nothing">{escape(entry.note) or DASH}</div>'
    top = " top" if entry.top else ""
    return f'<div class="value{top}">{_number(entry.measured)}</div>'


def _number(measured: Measured) -> str:
    number = f'<span class="number">{measured.mean:.1f}</span>'
    if measured.deviation is None:
        return number
    return f'{number}<span class="deviation"> ± {measured.deviation:.1f}</span>'


def _best(best: Measured, top: bool) -> str:
    return f'best <span class="{"top" if top else "rest"}">{_number(best)}</span>'


def _against(entry: Entry) -> str:
    if entry.paper is None:
        return ""
    text = f"paper {with_deviation(entry.paper, entry.paper_deviation)}"
    if (difference := entry.difference) is not None:
        kind = (
            "even" if round(abs(difference), 1) <= EVEN else "above" if difference > 0 else "below"
        )
        text += f' <span class="difference {kind}">{signed(difference)}</span>'
    return f'<div class="against">{text}</div>'


def _figures(figures: list[ReportFigure], folder: pathlib.Path) -> str:
    if not figures:
        return ""
    return f'<div class="figures">\n{_lines(_figure(figure, folder) for figure in figures)}\n</div>'


def _figure(figure: ReportFigure, folder: pathlib.Path) -> str:
    picture = base64.b64encode((folder / figure.svg).read_bytes()).decode()
    kind = "several" if len(figure.figure.axes) > 1 else "single"
    return (
        f'<figure class="{kind}"><div class="scroll"><img alt="{escape(figure.title)}" '
        f'src="data:image/svg+xml;base64,{picture}"></div>'
        f"<figcaption><b>{escape(figure.title)}.</b> {escape(figure.caption)}</figcaption></figure>"
    )


def _not_drawn(gallery: Gallery) -> str:
    if not gallery.not_drawn:
        return ""
    items = (
        f"<li><b>{escape(figure)}</b>: {escape(reason)}</li>"
        for figure, reason in gallery.not_drawn.items()
    )
    return (
        "<section><header><h2>Figures not drawn</h2></header>\n"
        f'<ul class="plain">\n{_lines(items)}\n</ul>\n</section>'
    )


def _searched(table: Table) -> str:
    if not table.searches:
        return ""
    rows = _written(search_rows.lines(table))
    label = f"{search_rows.TITLE}, {table.heading}"
    grid = _grid(search_rows.HEADINGS, rows, label=label, kind="provenance")
    return _folded(search_rows.TITLE, grid)


def _written(lines: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows of text, headed by their cells."""
    rows = []
    for cell, *rest in lines:
        words = "".join(f"<td>{escape(text)}</td>" for text in rest)
        rows.append(f'<tr><th scope="row">{_breakable(cell)}</th>{words}</tr>')
    return rows


def _provenance(table: Table) -> str:
    rows = _written(provenance.lines(table))
    settings = (
        f"<li>{escape(setting.conditions)}; <code>{escape(setting.command)}</code></li>"
        for setting in provenance.settings_of(table)
    )
    label = f"Provenance of {table.heading}"
    grid = _grid(provenance.HEADINGS, rows, label=label, kind="provenance")
    configs = _folded(
        "Config of each cell's first seed", _lines(map(_config, table.cells.values()))
    )
    return _folded(
        label, _lines([grid, f"<h3>Settings</h3>\n<ol>{_lines(settings)}</ol>", configs])
    )


def _config(cell: MeasuredCell) -> str:
    run = (cell.runs or cell.failed)[0]
    text = escape(json.dumps(run.config, indent=1))
    return _folded(f"{cell.row} at {cell.column}", f"<pre>{text}</pre>")
