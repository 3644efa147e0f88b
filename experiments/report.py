"""Writes the report of results: `python -m experiments.report --results=PATH[,PATH] --out=DIR`.

report.md and report.html compare every table with the paper's, list what was not run, and give the
provenance of each number; figures/ holds the figures. Searches are read from the tuning.json next
to each results file.
"""

import pathlib

from absl import flags

from experiments import startup
from experiments.reporting import report
from experiments.tables import results_file, tuning_file
from experiments.tables.tuning_file import ParameterSearch

_RESULTS = flags.DEFINE_list(
    "results",
    None,
    "Comma-separated results files, or folders that hold a results.jsonl.",
    required=True,
)
_OUT = flags.DEFINE_string("out", None, "Folder for the report.", required=True)


def main() -> None:
    """Reads the results, writes the report and prints its path."""
    out = startup.folder("--out", _OUT.value)
    named = [pathlib.Path(path).expanduser().resolve() for path in _RESULTS.value if path]
    if not named:
        raise ValueError("--results names no file")
    paths = dict.fromkeys(path / "results.jsonl" if path.is_dir() else path for path in named)
    if absent := [str(path) for path in paths if not path.exists()]:
        raise ValueError(f"--results: there is no {absent[0]}")
    results = [result for path in paths for result in results_file.read(path)]
    folders = dict.fromkeys(path.parent for path in paths)
    found: list[ParameterSearch] = []
    for folder in folders:
        for search in tuning_file.read(folder).values():
            if search not in found:  # copied to another folder, to save the search
                found.append(search)
    print(f"wrote {report.write(results, out, searches=found)}")


if __name__ == "__main__":
    startup.run(main)
