"""report.md: every table with its cells stacked as measured, published and best."""

import re
from collections.abc import Iterable

from experiments.reporting import provenance, search_rows
from experiments.reporting.comparison import Entry, Section, Table
from experiments.reporting.figures import Gallery
from experiments.reporting.table_figures import ReportFigure
from experiments.text import DASH, signed, with_deviation

TITLE = "Derivative Manipulation: what was reproduced"
HOW_TO_READ = (
    "Test accuracy in percent at the end of training, mean ± sample deviation over seeds; the "
    "highest of those compared is bold. Below it are the paper's number and our difference from "
    "it, then the best accuracy seen during training and the number of seeds. A cell that departs "
    "from the table's protocol is marked with the scale of its training budget and what was "
    "changed."
)


def report(tables: list[Table], gallery: Gallery) -> str:
    """The whole report as Markdown; pictures are linked where `gallery` put them."""
    shown = [table for table in tables if table.cells]
    blocks = [f"# {TITLE}", _overview(tables), HOW_TO_READ]
    blocks += [_figure(drawn) for drawn in gallery.of_table(None)]
    for table in shown:
        blocks += _table(table, gallery)
    blocks += _not_drawn(gallery)
    return "\n\n".join(blocks) + "\n"


def grid(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(escaped, line)) + " |" for line in lines)


def escaped(text: str) -> str:
    """A cell's text; of HTML it may have line breaks."""
    parts = map(_literal, text.split("<br>"))
    return "<br>".join(parts).replace("|", "\\|").replace("\n", " ")


def _literal(text: str) -> str:
    """Text in which "<lambda>" and "&lt;" are not taken for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def code(text: str) -> str:
    """A code span, whose fence is longer than any run of backticks in the text."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def _overview(tables: list[Table]) -> str:
    rows = [(table.heading, table.title, table.status) for table in tables]
    return grid(("table", "shows", "run"), rows)


def _table(table: Table, gallery: Gallery) -> list[str]:
    blocks = [
        f"## {_literal(table.heading)}: {_literal(table.title)}",
        f"Run: {_literal(table.status)}.",
    ]
    for section in table.sections:
        blocks += [f"### {_literal(section.title)}"] if section.title else []
        blocks.append(_section(section, table))
    blocks += [f"**{label}:** {_literal(text)}." for label, text in table.remarks.items()]
    figures = gallery.of_table(table.name)
    blocks += [_figure(drawn) for drawn in figures if not drawn.is_curves]
    curves = [_figure(drawn) for drawn in figures if drawn.is_curves]
    if curves:
        blocks += _folded(f"Curves over training ({len(curves)})", curves)
    if table.searches:
        rows = search_rows.lines(table)
        blocks += _folded(search_rows.TITLE, [grid(search_rows.HEADINGS, rows)])
    return [*blocks, *_folded(f"Provenance of {_literal(table.heading)}", _provenance(table))]


def _folded(summary: str, blocks: list[str]) -> list[str]:
    """Blocks that GitHub and most viewers fold away."""
    return [f"<details><summary>{summary}</summary>", *blocks, "</details>"]


def _section(section: Section, table: Table) -> str:
    return grid(
        (table.head, *section.columns),
        (
            (
                _row(row, table),
                *(_entry(section.entries[row, column]) for column in section.columns),
            )
            for row in section.rows
        ),
    )


def _row(row: str, table: Table) -> str:
    source = table.source(row)
    return f"{row}<br>(quoted from {source})" if source else row


def _entry(entry: Entry) -> str:
    stack = [_bold(str(entry.measured), entry.top) if entry.measured else entry.note]
    if entry.paper is not None:
        text = f"paper {with_deviation(entry.paper, entry.paper_deviation)}"
        stack.append(text if entry.difference is None else f"{text} ({signed(entry.difference)})")
    if entry.best is not None:
        stack.append(f"best {_bold(str(entry.best), entry.best_top)}")
    stack += [entry.seeds, entry.mark]
    return "<br>".join(part for part in stack if part) or DASH


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def _figure(drawn: ReportFigure) -> str:
    title, caption = _literal(drawn.title), _literal(drawn.caption)
    return f"![{title}]({drawn.png})\n\n*{title}.* {caption}"


def _not_drawn(gallery: Gallery) -> list[str]:
    if not gallery.not_drawn:
        return []
    lines = [
        f"- {_literal(figure)}: {_literal(reason)}" for figure, reason in gallery.not_drawn.items()
    ]
    return ["## Figures not drawn", "\n".join(lines)]


def _provenance(table: Table) -> list[str]:
    settings = [
        f"{index}. {setting.conditions}; {code(setting.command)}"
        for index, setting in enumerate(provenance.settings_of(table), 1)
    ]
    rows = provenance.lines(table)
    return [grid(provenance.HEADINGS, rows), "Settings:", "\n".join(settings)]
