"""What docs/results.md says was measured is what the committed results say."""

import pathlib
import re

import pytest

from experiments import paper
from experiments.reporting import measured
from experiments.tables import results_file

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "experiments/results"
PAGE = (ROOT / "docs/results.md").read_text(encoding="utf-8")
SECTIONS = {part.split(":")[0].split("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.M)}
TABLE_8 = SECTIONS["Table 8"].partition("### Run again")[2]


def flowing(text):
    """The text without line breaks."""
    return " ".join(text.split())


def cells_of(folder, table):
    return measured.group(results_file.read(RESULTS / folder / "results.jsonl"))[table]


def config_of(name):
    return (ROOT / "configs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("section", [name for name, text in SECTIONS.items() if "±" in text])
def test_means_are_those_of_the_reports_that_the_section_links_to(section):
    text = SECTIONS[section]
    links = re.findall(r"\(\.\./(experiments/results/\w\S*?/report\.md)\)", text)
    reports = "".join((ROOT / link).read_text(encoding="utf-8") for link in links)
    number = r"\d+\.\d ± \d+\.\d"
    assert set(re.findall(number, text)) <= set(re.findall(number, reports))


def test_the_numbers_of_table_1_are_those_of_its_results():
    path = RESULTS / "table1/results.jsonl"
    left = {(result.row, result.column): result for result in results_file.read(path)}
    published = paper.table(1)
    table = SECTIONS["Table 1"].partition("|---|\n")[2].partition("\n\n")[0]
    for line in table.split("\n"):
        row, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for column, cell in zip(("clean", "sym_0.4", "asym_0.4"), cells, strict=True):
            result = left.pop((row, column), None)
            said = f"{result.final:.1f} ({result.best:.1f})" if result else "not run"
            assert cell == f"{said}, paper {published.value(row, column):.1f}", (row, column)
    assert not left


def test_what_is_said_of_table_5_is_in_its_results():
    cells = cells_of("table5", "5")
    means = {
        row: cell.measured("final")
        for (row, column), cell in cells.items()
        if column == "noise_0.4"
    }
    said = re.search(r"seeds\): ([\d.]+), ([\d.]+) and ([\d.]+)\.", config_of("imdb.py")).groups()
    assert said == tuple(f"{means[row].mean:.1f}" for row in ("CCE", "MAE", "DM"))
    first, *others = sorted(means, key=lambda row: means[row].mean, reverse=True)[:4]
    assert (first, others) == ("MAE", ["GCE", "MSE", "DM"])
    gce, mse, dm = (str(means[row]) for row in others)
    said = f"MAE leads ({means[first]}), before GCE, MSE and DM ({gce}, {mse} and {dm})"
    assert said in flowing(SECTIONS["Table 5"])


def test_what_is_said_of_cifar_n_is_in_its_results():
    cells, page = cells_of("cifar_n", "cifar_n"), flowing(SECTIONS["CIFAR-10N and CIFAR-100N"])
    cce, dm = (cells[row, "cifar10n_worst"] for row in ("CCE", "DM"))
    for cell in (cce, dm, *(cells[row, "cifar100n_fine"] for row in ("CCE", "DM"))):
        assert page.count(f"({cell.runs[0].metrics['actual_rate']:.1f}% wrong)") == 2
    assert f"ends at {cce.measured('final')} ({cce.measured('best')} at best), DM" in page
    assert f"searched, at {dm.measured('final')} ({dm.measured('best')} at best)" in page
    for cell, text in ((cce, "stays between {} and {}"), (dm, "DM's between {} and {}")):
        curve = cell.runs[0].curves["p_noisy"]
        assert text.format(f"{min(curve):.2f}", f"{max(curve):.2f}") in page
    p = [cell.runs[0].curves["p_clean"][-1] for cell in (cce, dm)]
    assert "that of right labels rises to {:.2f} (DM's to {:.2f};".format(*p) in page
    cce, dm = (cells[row, "cifar100n_fine"] for row in ("CCE", "DM"))
    final = [str(cell.measured("final")) for cell in (cce, dm)]
    assert final == [str(cell.measured("best")) for cell in (cce, dm)]
    assert f"ends at {final[0]} and DM, with the same lambda and beta, at {final[1]}, their" in page
    (of_cce,), (of_dm,) = cce.runs, dm.runs
    p = [run.curves["p_clean"][-1] for run in (of_dm, of_cce)]
    assert "as high ({:.2f}, cross entropy's {:.2f})".format(*p) in page
    right = [run.metrics["train_intact"] for run in (of_dm, of_cce)]
    assert "training images ({:.1f}%, cross entropy {:.1f}%)".format(*right) in page


def test_what_is_said_of_the_first_runs_of_table_8_is_in_their_results():
    cells, page = cells_of("table8", "8"), flowing(SECTIONS["Table 8"])
    cce, dm = (cells["0.4", column] for column in ("Baseline", "DM"))
    above = [one.final - other.final for one, other in zip(dm.runs, cce.runs, strict=True)]
    assert f"DM ends above cross entropy, by {min(above):.1f} to {max(above):.1f} points" in page
    for column, name in (("Baseline", "cross entropy"), ("DM", "DM"), ("DM+L2", "DM with L2")):
        best, final = (cells["0.4", column].measured(measure) for measure in ("best", "final"))
        assert f"| {name} | {best} | {final} |" in page
    curves = [[f"{mean:.2f}" for mean in cell.curve("p_noisy").mean] for cell in (cce, dm)]
    of_cce, of_dm = (f"{min(curve)} to {max(curve)}" for curve in curves)
    assert f"(their mean p rises from {of_cce}), DM less so ({of_dm};" in page


# Regulariser -> the columns of cross entropy and of DM.
PAIRS = {
    "neither": ("Baseline", "DM"),
    "L2": ("L2", "DM+L2"),
    "dropout": ("Dropout", "DM+Dropout"),
    "both": ("Dropout+L2", "DM+L2+Dropout"),
}


def test_the_table_of_table_8_run_again_is_that_of_its_results():
    cells = cells_of("table8_rerun", "8")
    for regulariser, columns in PAIRS.items():
        finals = [
            str(cells[row, column].measured("final"))
            for row in ("0.0", "0.4")
            for column in columns
        ]
        assert f"| {regulariser} | {' | '.join(finals)} |" in TABLE_8


@pytest.mark.parametrize(("row", "sign", "said"), [("0.4", 1, "above"), ("0.0", -1, "below")])
def test_what_is_said_of_the_pairs_of_table_8_is_in_its_results(row, sign, said):
    cells, published, page = cells_of("table8_rerun", "8"), paper.table("8"), flowing(TABLE_8)
    final = {
        (run.column, run.seed): run.final
        for cell in cells.values()
        for run in cell.runs
        if run.row == row
    }
    seeds = [run.seed for run in cells[row, "Baseline"].runs]
    by_seed = [sign * (final["DM", seed] - final["Baseline", seed]) for seed in seeds]
    assert f"DM ends {said} cross entropy in each seed ({listed(by_seed)})" in page
    pairs = PAIRS.values()
    by_pair = listed(sign * (final[dm, 1] - final[cce, 1]) for cce, dm in pairs)
    paper_s = listed(published.value(row, dm) - published.value(row, cce) for cce, dm in pairs)
    assert f"in all four pairs ({by_pair}; in the paper {paper_s} above)" in page


def listed(values):
    """Numbers in words, as in "1.0, 2.0 and 3.0"; all must be above zero."""
    values = list(values)
    assert min(values) > 0
    *most, last = (f"{value:.1f}" for value in values)
    return f"{', '.join(most)} and {last}"


def test_what_is_said_of_the_fit_and_of_l2_in_table_8_is_in_its_results():
    cells, page = cells_of("table8_rerun", "8"), flowing(TABLE_8)
    of_cce, of_dm = (
        [
            run.metrics["train_intact"]
            for pair in PAIRS.values()
            for run in cells["0.0", pair[i]].runs
        ]
        for i in (0, 1)
    )
    assert f"fits {min(of_dm):.0f} to {max(of_dm):.0f}% of the training images" in page
    assert f"iterations, cross entropy {min(of_cce):.0f} to {max(of_cce):.0f}%." in page
    runs = zip(cells["0.4", "DM+L2"].runs, cells["0.4", "DM"].runs, strict=True)
    more = [with_l2.final - without.final for with_l2, without in runs]
    first, second, third = (f"{abs(x):.1f} {'above' if x > 0 else 'below'}" for x in more)
    assert f"DM with L2 ends {first}, {second} and {third} DM in the three seeds" in page


def test_what_is_said_of_the_longer_runs_of_table_8_is_in_their_results():
    page, longer = flowing(TABLE_8), cells_of("table8_longer", "8")
    assert longer.keys() == {("0.0", "Baseline"), ("0.0", "DM")}
    (cce,), (dm,) = longer["0.0", "Baseline"].runs, longer["0.0", "DM"].runs
    fitted = [f"{run.metrics['train_intact']:.1f}%" for run in (cce, dm)]
    assert f"ends at {cce.final:.1f} and fits {fitted[0]} of the training images" in page
    assert f"images, DM at {dm.final:.1f} and {fitted[1]}. So" in page
    short = cells_of("table8_rerun", "8")
    first = [short["0.0", column].runs[0] for column in ("Baseline", "DM")]
    assert [run.seed for run in (*first, cce, dm)] == [1] * 4
    below = [one.final - other.final for one, other in (first, (cce, dm))]
    assert f"DM is {below[1]:.1f} below now, after {below[0]:.1f} in 4,500 iterations" in page
    steps, before = (one.curves["steps"][-1] for one in (dm, first[1]))
    assert f"for {steps:,.0f} iterations" in page
    assert steps == 3 * before
    readme = flowing((ROOT / "README.md").read_text(encoding="utf-8"))
    assert (
        f"ends {below[0]:.1f} points below, in three times as many iterations {below[1]:.1f}."
        in readme
    )
    published = [paper.table("8").value("0.0", column) for column in ("Baseline", "DM")]
    assert "of another network, are {} and {}.".format(*published) in page


def test_what_the_config_of_table_8_says_is_in_its_results():
    cells, said = cells_of("table8_rerun", "8"), flowing(config_of("vehicles10.py"))
    columns = ("Baseline", "DM", "DM+L2")
    minutes = [run.seconds / 60 for column in columns for run in cells["0.4", column].runs]
    assert f"takes {min(minutes):.0f} to {max(minutes):.0f} minutes a run" in said
    cce, dm, l2 = (f"{cells['0.4', column].measured('final').mean:.1f}%" for column in columns)
    assert f"{cce} for CCE, {dm} for DM and {l2} for DM+L2" in said
    cce, dm = (f"{cells['0.0', column].measured('final').mean:.1f}%" for column in columns[:2])
    assert f"{cce} for CCE and {dm} for DM." in said
