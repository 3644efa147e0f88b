"""Writes the report of results: `python -m experiments.report --results=PATH[,PATH] --out=DIR`.

report.md and report.html compare every table with the paper's, list what was not run, and give the
provenance of each number; figures/ holds the figures. Searches are read from the tuning.json next
to each results file.
"""

import pathlib
from collections.abc import Collection, Sequence

from absl import flags

from dm_jax import files
from experiments import paper, results_file, startup
from experiments import searches as searches_lib
from experiments.reporting import figures, layout, markdown, measured, page
from experiments.results_file import Result
from experiments.searches import ParameterSearch


def write_report(
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


def main() -> None:
    """Reads the results, writes the report and prints its path."""
    out = startup.folder("--out", flags.FLAGS.out)
    named = [pathlib.Path(path).expanduser().resolve() for path in flags.FLAGS.results if path]
    if not named:
        raise ValueError("--results names no file")
    paths = dict.fromkeys(path / "results.jsonl" if path.is_dir() else path for path in named)
    results = [result for path in paths for result in results_file.read(path)]
    folders = dict.fromkeys(path.parent for path in paths)
    found = list[ParameterSearch]()
    for folder in folders:
        for search in searches_lib.read(folder).values():
            if search not in found:  # copied to another folder, to save the search
                found.append(search)
    print(f"wrote {write_report(results, out, searches=found)}")


if __name__ == "__main__":
    # Defined here, so that commands that import `write_report` do not get these flags.
    flags.DEFINE_list(
        "results",
        None,
        "Comma-separated results files, or folders that hold a results.jsonl.",
        required=True,
    )
    flags.DEFINE_string("out", None, "Folder for the report.", required=True)
    startup.run(main)
