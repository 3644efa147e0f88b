"""The report of results: report.md, report.html and figures/ in one folder."""

import pathlib
from collections.abc import Collection, Sequence

from dm_jax import files
from experiments import paper
from experiments.reporting import figures, layout, markdown, measured, page
from experiments.tables.result import Result
from experiments.tables.tuning_file import ParameterSearch


def write(
    results: Sequence[Result],
    out_dir: str | pathlib.Path,
    *,
    searches: Collection[ParameterSearch] = (),
    only: Collection[str] | None = None,
) -> pathlib.Path:
    """Writes report.md, report.html and figures/ into `out_dir`, created if needed.

    Args:
      results: results of any tables.
      out_dir: the folder.
      searches: the searches that chose their parameters.
      only: names of the tables to report; None means all of the paper's and any others run.

    Returns:
      The path of report.html.
    """
    folder = pathlib.Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    grouped = measured.group(results)
    own = (name for name in grouped if name not in paper.names())
    built = {
        name: layout.build(name, grouped.get(name, {}), searches)
        for name in (*own, *paper.names())
        if only is None or name in only
    }
    gallery = figures.draw(built, folder, only)
    files.write_text(folder / "report.md", markdown.report(list(built.values()), gallery))
    files.write_text(folder / "report.html", page.page(list(built.values()), gallery, folder))
    return folder / "report.html"
