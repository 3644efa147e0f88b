"""What the README says was measured is what the committed results say."""

import pathlib
import re
import statistics

import pytest

from experiments import paper
from experiments.reporting import measured
from experiments.tables import results_file

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
    left = {(result.row, result.column): result for result in results_file.read(path)}
    published = paper.table(1)
    (lines,) = re.findall(r"Table 1, accuracy at the end.*?\|---\|\n(.*?)\n\n", README, re.DOTALL)
    for line in lines.split("\n"):
        row, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for column, cell in zip(("clean", "sym_0.4", "asym_0.4"), cells, strict=True):
            result = left.pop((row, column), None)
            said = f"{result.final:.1f} ({result.best:.1f})" if result else "not run"
            assert cell == f"{said}, paper {published.value(row, column):.1f}", (row, column)
    assert not left


def test_what_is_said_of_table_5_is_in_its_results():
    finals = {}
    for result in results_file.read(ROOT / "experiments/results/table5/results.jsonl"):
        if result.column == "noise_0.4":
            finals.setdefault(result.row, []).append(result.final)
    means = {row: statistics.fmean(values) for row, values in finals.items()}
    config = (ROOT / "configs/imdb.py").read_text(encoding="utf-8")
    said = re.search(r"seeds\): ([\d.]+), ([\d.]+) and ([\d.]+)\.", config).groups()
    assert said == tuple(f"{means[row]:.1f}" for row in ("CCE", "MAE", "DM"))
    first, second, *_ = sorted(means.values(), reverse=True)
    assert first == means["MAE"]
    lead, behind = re.search(r"MAE leads by ([\d.]+) points; DM, ([\d.]+) behind", README).groups()
    assert (lead, behind) == (f"{first - second:.1f}", f"{first - means['DM']:.1f}")


def test_what_is_said_of_cifar_n_is_in_its_results():
    results = results_file.read(ROOT / "experiments/results/cifar_n/results.jsonl")
    cells = measured.group(results)["cifar_n"]
    cce, dm = (cells[row, "cifar10n_worst"] for row in ("CCE", "DM"))
    final, best = ([str(cell.measured(name)) for cell in (cce, dm)] for name in ("final", "best"))
    said = " ".join(README.split())
    assert f"cross entropy ends at {final[0]} and DM at {final[1]};" in said
    page = " ".join((ROOT / "docs/results.md").read_text(encoding="utf-8").split())
    assert f"ends at {final[0]} ({best[0]} at best), DM" in page
    assert f"searched, at {final[1]} ({best[1]} at best)" in page
    for cell, text in ((cce, "stays between {} and {}"), (dm, "DM's between {} and {}")):
        curve = cell.runs[0].curves["p_noisy"]
        assert text.format(f"{min(curve):.2f}", f"{max(curve):.2f}") in page
    cce, dm = (cells[row, "cifar100n_fine"] for row in ("CCE", "DM"))
    final = [str(cell.measured("final")) for cell in (cce, dm)]
    assert final == [str(cell.measured("best")) for cell in (cce, dm)]
    wrong = cce.runs[0].metrics["actual_rate"]
    assert f"({wrong:.1f}% wrong), at {final[0]} and {final[1]}." in said
    assert f"cross entropy ends at {final[0]} and DM, with the same lambda and beta, at" in page
    (of_cce,), (of_dm,) = cce.runs, dm.runs
    p = [run.curves["p_clean"][-1] for run in (of_dm, of_cce)]
    assert "as high ({:.2f}, cross entropy's {:.2f})".format(*p) in page
    right = [run.metrics["train_intact"] for run in (of_dm, of_cce)]
    assert "training images ({:.1f}%, cross entropy {:.1f}%)".format(*right) in page


def test_what_is_said_of_table_8_run_again_is_in_its_results():
    results = results_file.read(ROOT / "experiments/results/table8_rerun/results.jsonl")
    cells = measured.group(results)["8"]
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8").rpartition("were run again")[2]
    names = {"Baseline": "cross entropy", "DM": "DM", "DM+L2": "DM with L2"}
    for column, name in names.items():
        best, final = (str(cells["0.4", column].measured(m)) for m in ("best", "final"))
        assert f"| {name} | {best} | {final} |" in page
    finals = {column: [run.final for run in cells["0.4", column].runs] for column in names}
    above = [f"{dm - cce:.1f}" for dm, cce in zip(finals["DM"], finals["Baseline"], strict=True)]
    first, second, third = above
    assert f"cross entropy by {first}, {second} and {third} points" in page
    assert re.search(rf"by {first}, {second}\s+and {third} in \[three seeds\]", README)
    clean, dm = (cells["0.0", column] for column in ("Baseline", "DM"))
    whole = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert f"ends at {clean.measured('final')} and DM at {dm.measured('final')}, where" in whole
    pairs = zip(clean.runs, dm.runs, strict=True)
    below = " and ".join(f"{one.final - other.final:.1f}" for one, other in pairs)
    assert f"Without noise (two seeds), DM ends {below} points below cross entropy." in README
    more = [after - dm for after, dm in zip(finals["DM+L2"], finals["DM"], strict=True)]
    said = re.findall(r"([\d.]+) (above|below)", page.rpartition("by seed,")[2])
    assert said == [(f"{abs(x):.1f}", "above" if x > 0 else "below") for x in more]


def test_what_is_said_of_the_regularisers_of_table_8_is_in_its_results():
    results = results_file.read(ROOT / "experiments/results/table8_rerun/results.jsonl")
    final = {run.column: run.final for run in results if (run.row, run.seed) == ("0.4", 1)}
    published = paper.table("8")
    whole = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    page = " ".join(whole.split("seed 1 alone")[1].split())
    pairs = [("Baseline", "DM"), ("L2", "DM+L2"), ("Dropout", "DM+Dropout")]
    pairs.append(("Dropout+L2", "DM+L2+Dropout"))
    leads = [final[dm] - final[cce] for cce, dm in pairs]
    said = (
        "by {:.1f} points without either, {:.1f} with L2, {:.1f} with dropout and {:.1f} with both"
    )
    assert said.format(*leads) in page
    assert f"by {min(leads):.1f} to {max(leads):.1f} points (one seed)" in README
    of_paper = [published.value("0.4", dm) - published.value("0.4", cce) for cce, dm in pairs]
    assert "(in the paper {:.1f}, {:.1f}, {:.1f} and {:.1f})".format(*of_paper) in page
    l2 = [("Baseline", "L2"), ("Dropout", "Dropout+L2"), ("DM", "DM+L2")]
    l2.append(("DM+Dropout", "DM+L2+Dropout"))
    gains = [final[after] - final[before] for before, after in l2]
    assert f"L2 adds {min(gains):.1f} to {max(gains):.1f} points to each of the four" in page
    dropout = [("L2", "Dropout+L2"), ("DM", "DM+Dropout"), ("DM+L2", "DM+L2+Dropout")]
    losses = [final[before] - final[after] for before, after in dropout]
    gain = final["Dropout"] - final["Baseline"]
    said = (
        f"adds {gain:.1f} to plain cross entropy and takes {min(losses):.1f} to {max(losses):.1f}"
    )
    assert said in page


def test_what_is_said_of_the_cells_of_table_8_and_their_time_is_in_its_results():
    folders = [ROOT / "experiments/results" / name for name in ("table8", "table8_rerun")]
    first, again = (results_file.read(folder / "results.jsonl") for folder in folders)
    run = {(one.row, one.column) for one in (*first, *again)}
    most = max(len(cell.runs) for cell in measured.group(first)["8"].values())
    words = {1: "one", 4: "four", 10: "ten"}
    said = f"{words[len(run)]} of {len(paper.table('8').cells)} cells, one to {words[most]} seeds"
    assert said in README
    columns = ("Baseline", "DM", "DM+L2")
    minutes = [one.seconds / 60 for one in again if one.row == "0.4" and one.column in columns]
    config = (ROOT / "configs/vehicles10.py").read_text(encoding="utf-8")
    assert f"takes {min(minutes):.0f} to {max(minutes):.0f} minutes a run" in config
