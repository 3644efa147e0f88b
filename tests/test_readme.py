"""The README's links and commands work, and its numbers are those of the committed results."""

import re

import pytest

from experiments import paper
from tests.test_results_page import RESULTS, ROOT, cells_of, flowing

README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    cells = cells_of("digits", "digits")
    noisy = ("sym_0.2", "sym_0.4", "sym_0.6")
    behind = [
        cells["DM", column].measured("best").mean - cells["CCE", column].measured("best").mean
        for column in noisy
    ]
    (said,) = re.findall(r"cross entropy is\s+within ([\d.]+) points of DM", README)
    assert said == f"{max(map(abs, behind)):.1f}"


def test_the_number_of_cells_of_table_8_is_that_of_their_results():
    first, again = cells_of("table8", "8"), cells_of("table8_rerun", "8")
    run = first.keys() | again.keys()
    assert run == set(paper.table("8").cells)
    seeds = [len(cell.runs) for cell in (*first.values(), *again.values())]
    assert (min(seeds), max(seeds)) == (1, 4)
    assert f"all {len(run)} cells, one to four seeds" in README


def test_what_is_said_of_tables_1_and_5_is_in_their_results():
    said = flowing(README)
    cells, published = cells_of("table1", "1"), paper.table(1)
    final = {key: cell.measured("final").mean for key, cell in cells.items()}
    below = {key: published.value(*key) - value for key, value in final.items()}
    assert min(below.values()) > 0
    assert len(below) == 10
    assert f"cross entropy by {below['CCE', 'clean']:.1f} points even without noise" in said
    dm, cce, gce = (final[row, "sym_0.4"] for row in ("DM(lambda=0.5)", "CCE", "GCE"))
    assert dm < gce
    assert f"DM(lambda=0.5) ends {dm - cce:.0f} points above cross entropy but below GCE" in said
    cells, published = cells_of("table5", "5"), paper.table(5)
    off = {
        key: abs(cell.measured("final").mean - published.value(*key)) for key, cell in cells.items()
    }
    early = ("noise_0.0", "noise_0.2")
    most = max(off[row, column] for row, column in off if column in early and row != "MAE-DN")
    assert f"every loss but MAE-DN is within {most:.1f} points of the paper" in said
    most = max(off[row, column] for row, column in off if column == "noise_0.4")
    assert f"at 40% every loss within {most:.0f}, but there MAE leads, not DM" in said
    assert most < 2
