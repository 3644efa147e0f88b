"""The report of made-up results against the golden one, and the page in a real browser."""

import base64
import html.parser
import pathlib
import re
import subprocess
import sys

import pytest

from experiments.reporting import report, search_rows, terminal
from experiments.tables import results_file, tuning_file
from experiments.tables.result import Result
from tests.experiments.browser import browser, executable

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("report"), tuning_file.read(GOLDEN).values()
    report.write(results_file.read(GOLDEN / "results.jsonl"), folder, searches=found)
    return folder


class Links(html.parser.HTMLParser):
    """Everything that a page refers to, and its elements that never end."""

    VOID = ("br", "img", "link", "meta", "wbr")

    def __init__(self):
        super().__init__()
        self.links, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        self.open += [tag] if tag not in self.VOID else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(folder):
    page = Links()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    return page


def test_markdown_equals_the_golden_report(written):
    """If the change is meant, copy the new report.md over the golden one."""
    made = (written / "report.md").read_text(encoding="utf-8")
    assert made == (GOLDEN / "report.md").read_text(encoding="utf-8")


def test_the_same_results_in_any_order_give_the_same_files(written, tmp_path):
    found, results = tuning_file.read(GOLDEN).values(), results_file.read(GOLDEN / "results.jsonl")
    report.write(results[::-1], tmp_path, searches=[*found][::-1])
    for name in ("report.md", "report.html"):  # the page holds the figures
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_every_picture_of_the_markdown_exists_as_png_and_svg(written):
    pictures = re.findall(r"\]\((figures/.+?)\)", (written / "report.md").read_text())
    assert len(pictures) == len(set(pictures)) == 16
    for picture in pictures:
        assert (written / picture).read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (written / picture).with_suffix(".svg").read_bytes()


def test_the_page_is_well_formed_and_refers_to_itself_only(written):
    page = parsed(written)
    assert page.open == []
    assert all(link.startswith(("#", "data:")) for link in page.links)
    text = (written / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "<script" not in text
    targets = {link[1:] for link in page.links if link.startswith("#")}
    assert targets == set(re.findall(r'id="(.+?)"', text))


def test_the_page_embeds_every_figure(written):
    embedded = [link for link in parsed(written).links if link.startswith("data:image/svg+xml")]
    files = sorted((written / "figures").glob("*.svg"))
    contents = {base64.b64decode(link.partition(",")[2]) for link in embedded}
    assert contents == {file.read_bytes() for file in files}


def test_scaled_down_cells_say_so_wherever_they_show(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    cells = [cell for cell in re.findall(r"<td>.*?</td>", page) if ">38.0<" in cell]
    assert len(cells) == 1
    assert "scale 0.1" in cells[0]
    assert "scaled down in part (model=resnet20, train.batch_size=64; scale 0.1)" in page
    curves = (written / "figures" / "table_8_0.4_curves.svg").read_text()
    assert "Baseline (scale 0.1)" in curves


def test_changed_cells_say_so_wherever_they_show(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    (cell,) = [cell for cell in re.findall(r"<td>.*?</td>", page) if ">61.3<" in cell]
    assert "model=resnet20, train.batch_size=64" in cell
    assert "DM(lam=0.5, beta=8)" in page
    curves = (written / "figures" / "table_8_0.4_curves.svg").read_text()
    assert "Dropout (model=resnet20, train.batch_size=64)" in curves
    shown = terminal.table(results_file.read(GOLDEN / "results.jsonl"), "8").splitlines()
    (line,) = [line for line in shown if "Dropout" in line and "61.3" in line]
    assert line.split()[:2] == ["0.4", "Dropout"]
    assert "[model=resnet20, train.batch_size=64]" in line


def test_a_terminal_has_no_column_for_what_nobody_published():
    head, *_ = terminal.table(results_file.read(GOLDEN / "results.jsonl"), "digits").splitlines()
    assert head.split() == ["method", "column", "measured", "best", "seeds"]


def test_what_a_search_tried_is_shown_the_best_first_and_under_which_protocol(written):
    for name in ("report.md", "report.html"):
        text = (written / name).read_text(encoding="utf-8")
        assert text.count(search_rows.TITLE + "</summary>") == 1
        assert "lam=1, beta=16: 80.5; lam=0.5, beta=4: 71.0" in text
        assert "DM at sym_0.4 (scale 0.05, train.batch_size=64)" in text.replace("<wbr>", "")


def test_searches_of_another_version_are_named(tmp_path):
    (tmp_path / "tuning.json").write_text('{"digits / DM": {"chosen": {"beta": 8.0}}}')
    with pytest.raises(ValueError, match=r"tuning.json does not hold searches .*; remove it"):
        tuning_file.read(tmp_path)


def test_text_from_results_is_escaped(tmp_path):
    result = Result(
        table="<b>own</b>",
        row="a|<i>",
        column="x&y",
        seed=0,
        command="run '--method=a`b: <i>'",
        final=50.0,
        best=50.0,
        config={"a": "<"},
    )
    report.write([result], tmp_path)
    page = parsed(tmp_path)
    assert page.open == []
    assert "<i>" not in (tmp_path / "report.html").read_text()
    text = (tmp_path / "report.md").read_text()
    assert "a\\|&lt;i>" in text
    assert "Provenance of &lt;b>own" in text
    assert "``run '--method=a`b: <i>'``" in text


def test_no_results_give_a_report_that_says_so(tmp_path):
    report.write([], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text.count("| not run |") == 7
    assert text.count("| not run: data not at hand |") == 2
    assert "Figure 2a" in text.partition("Figures not drawn")[2]


def command(*arguments):
    command = [sys.executable, "-m", "experiments.report", *arguments]
    root = pathlib.Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_command_reads_several_files(tmp_path):
    lines = (GOLDEN / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_text("".join(lines[:3]))
    (tmp_path / "b.jsonl").write_text(lines[-1])
    (tmp_path / "tuning.json").write_text((GOLDEN / "tuning.json").read_text())
    done = command(f"--results={tmp_path}/a.jsonl,{tmp_path}/b.jsonl", f"--out={tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert f"wrote {tmp_path}/out/report.html" in done.stdout
    text = (tmp_path / "out" / "report.md").read_text()
    assert "## digits" in text
    assert "## Table 9" in text
    assert text.count(search_rows.TITLE) == 1


def test_command_names_a_file_that_is_not_there(tmp_path):
    done = command(f"--results={tmp_path}/none.jsonl", f"--out={tmp_path}/out")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "none.jsonl" in done.stderr
    assert not (tmp_path / "out").exists()


OVERFLOWING = """
  [...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.right > innerWidth + 1 && !element.closest('.scroll');
  }).map(element => element.outerHTML.slice(0, 80))
"""
LOADED = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"


@pytest.mark.skipif(executable() is None, reason="no chromium: apt-get install chromium")
def test_page_in_a_browser_fits_and_asks_for_nothing(written, tmp_path):
    with browser(tmp_path / "profile") as page:
        for width, dark in ((1400, False), (400, False), (400, True)):
            page.open(written / "report.html", width=width, dark=dark)
            page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(OVERFLOWING) == []
            assert page.evaluate(LOADED)
            page.screenshot(tmp_path / f"{width}.png")
            assert (tmp_path / f"{width}.png").stat().st_size > 10_000
            complaints = [e for e in page.events if e["method"] in COMPLAINTS]
            assert complaints == []
            asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == REQUEST]
            assert [url for url in asked if not url.startswith("data:")] == [
                (written / "report.html").as_uri()
            ]


COMPLAINTS = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
REQUEST = "Network.requestWillBeSent"
