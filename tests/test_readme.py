"""What the README says was measured is what the committed results say."""

import pathlib
import re

import pytest

from experiments import results_file

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def numbers(text):
    return re.findall(r"\d+\.\d ± \d+\.\d", text)


def test_the_digits_table_is_that_of_the_report():
    report = (ROOT / "experiments/results/digits/report.md").read_text(encoding="utf-8")
    rows = [line for line in README.splitlines() if numbers(line) and line.startswith("|")]
    assert len(rows) == 7
    for row in rows:
        name = row.split("|")[1].strip()
        (there,) = [line for line in report.splitlines() if line.startswith(f"| {name} |")]
        cells = [cell.split("<br>")[0].replace("**", "").strip() for cell in there.split("|")[2:-1]]
        assert numbers(row) == cells


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_commands_name_modules_that_exist():
    for module in set(re.findall(r"python -m (experiments\.\w+)", README)):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_the_numbers_of_table_1_are_those_of_its_results():
    path = ROOT / "experiments/results/table1/results.jsonl"
    measured = {result.row.split("(")[0]: result for result in results_file.read(path)}
    (said,) = re.findall(r"Table 1 at 40% symmetric noise, [^:]*: (.*);", README)
    found = re.findall(r"(\w+) ([\d.]+) \(([\d.]+)\)", said)
    assert {name for name, _, _ in found} == measured.keys() == {"CCE", "GCE", "DM"}
    for name, final, best in found:
        assert (final, best) == (f"{measured[name].final:.1f}", f"{measured[name].best:.1f}")
