"""The README's links and commands work, and its numbers are those of the committed results."""

import pathlib
import re

import pytest

from experiments import paper
from experiments.reporting import measured
from experiments.tables import results_file

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "experiments/results"


def numbers(text):
    return re.findall(r"\d+\.\d ± \d+\.\d", text)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_commands_name_modules_that_exist():
    for module in set(re.findall(r"python -m (experiments\.\w+)", README)):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_the_digits_table_is_that_of_the_report():
    report = (RESULTS / "digits/report.md").read_text(encoding="utf-8")
    rows = [line for line in README.splitlines() if numbers(line) and line.startswith("|")]
    assert len(rows) == 7
    for row in rows:
        name = row.split("|")[1].strip()
        (there,) = [line for line in report.splitlines() if line.startswith(f"| {name} |")]
        cells = [cell.split("<br>")[0].replace("**", "").strip() for cell in there.split("|")[2:-1]]
        assert numbers(row) == cells


def test_what_is_said_of_the_best_steps_of_the_digits_is_in_their_results():
    cells = measured.group(results_file.read(RESULTS / "digits/results.jsonl"))["digits"]
    noisy = ("sym_0.2", "sym_0.4", "sym_0.6")
    behind = [
        cells["DM", column].measured("best").mean - cells["CCE", column].measured("best").mean
        for column in noisy
    ]
    (said,) = re.findall(r"cross entropy is\s+within ([\d.]+) points of DM", README)
    assert said == f"{max(map(abs, behind)):.1f}"


def test_the_number_of_cells_of_table_8_is_that_of_their_results():
    first, again = (
        results_file.read(RESULTS / name / "results.jsonl") for name in ("table8", "table8_rerun")
    )
    run = {(one.row, one.column) for one in (*first, *again)}
    assert run == set(paper.table("8").cells)
    assert max(len(cell.runs) for cell in measured.group(first)["8"].values()) == 4
    assert f"all {len(run)} cells, one to four seeds" in README
