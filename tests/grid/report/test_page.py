"""The page is self-contained and has the tables' numbers.

Everything that a person gave is escaped, and nothing is hidden.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.workspace import Workspace
from grid.definition.grid import load_grid
from grid.report.content import gather
from grid.report.page import encoded_page
from grid.statistics import RULE
from grid.tables.build import build
from grid.tables.claims import judged_claims

VOID = {"br", "col", "img", "meta", "link", "input", "hr"}


class Parsed(HTMLParser):
    """The elements of a page with their attributes.

    ``text`` is what a reader sees, with elements apart by a blank.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.pieces.append(data)

    def attributes(self, name: str) -> list[str]:
        return [own[name] for _, own in self.elements if name in own]


@pytest.fixture(scope="session")
def text(made: Any) -> str:
    return str(made.report())


@pytest.fixture(scope="session")
def parsed(text: str) -> Parsed:
    return Parsed(text)


@pytest.fixture
def copy(made: Any, tmp_path: Path) -> Any:
    """A workspace to take things away from. The files of MLflow are not needed twice."""
    root = tmp_path / "copy"
    shutil.copytree(
        made.workspace.root, root, symlinks=True, ignore=shutil.ignore_patterns("mlflow")
    )
    return type(made)(Workspace(root), made.grid)


def test_it_needs_no_other_file(parsed: Parsed) -> None:
    assert not {tag for tag, _ in parsed.elements} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "video",
        "audio",
    }
    for name in ("src", "srcset", "data", "poster", "action", "background"):
        assert not [value for value in parsed.attributes(name) if not value.startswith("data:")]
    for tag, own in parsed.elements:
        for value in (own.get("href"), own.get("xlink:href")):
            allowed = ("#", "data:image/png;base64,") if tag != "a" else ("#", "../../runs/")
            assert value is None or value.startswith(allowed), (tag, value)
    assert not [name for _, own in parsed.elements for name in own if name.startswith("on")]


def test_its_style_loads_nothing(text: str) -> None:
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert style and "@import" not in style and "url(" not in style


def test_elements_are_closed_in_order_and_anchors_are_there_once(parsed: Parsed) -> None:
    assert parsed.open == []
    ids = Counter(parsed.attributes("id"))
    wanted = {
        value[1:]
        for name in ("href", "xlink:href")
        for value in parsed.attributes(name)
        if value.startswith("#")
    }
    assert wanted and [anchor for anchor in wanted if ids[anchor] != 1] == []


def test_links_to_logs_lead_to_them(made: Any, parsed: Parsed) -> None:
    from urllib.parse import unquote

    logs = {
        (made.page.parent / unquote(value)).resolve()
        for value in parsed.attributes("href")
        if value.startswith("..")
    }
    assert logs == {path.resolve() for path in made.workspace.runs.glob("*/*/attempts/1/log.txt")}


def test_what_people_wrote_is_text(text: str, parsed: Parsed) -> None:
    """These are a script in the title, an image in a label, markup in an error, a table's title."""
    assert text.count("<title>small: report</title>") == 1 and "<b>bold</b>" not in text
    for hostile in (
        """A <script>alert("title")</script> & 'quotes'""",
        "<img src=x onerror=alert(1)>",
        "</pre><script>alert('error')</script> & more",
    ):
        assert hostile in parsed.text
        assert hostile not in text


def test_every_number_of_the_tables_is_shown_and_leads_to_its_runs(
    made: Any, parsed: Parsed
) -> None:
    table = build(made.grid, "main", made.workspace.results("small"))
    anchors = set(parsed.attributes("id"))
    for value in table.values:
        assert value.number is not None
        assert value.number.text(2) in parsed.text
        assert all(run in parsed.text for run in value.runs)
    content = gather(made.grid, made.workspace.results("small"), made.workspace.root)
    assert (
        set(content.anchors) == {cell.id for cell in made.grid.cells}
        and set(content.anchors.values()) <= anchors
    )


def test_claims_of_the_tables_are_listed_with_their_probability(made: Any, parsed: Parsed) -> None:
    table = build(made.grid, "main", made.workspace.results("small"))
    judged = judged_claims(table)
    assert [column.heading for column, _ in judged] == ["Dice ED (%)", "MKE ES (px)"]
    for column, claims in judged:
        unsupported = sum(not claim.supported for claim in claims)
        counted = f"{column.heading}: {unsupported} of {len(claims)} may be false"
        assert counted in parsed.text
        for claim in claims:
            assert f"{claim.better} > {claim.worse}" in parsed.text
            if claim.false >= 0.001:
                assert f"{100 * claim.false:.1f} %" in parsed.text


def test_a_claim_that_the_grid_names_is_a_sentence_everywhere(made: Any, parsed: Parsed) -> None:
    document = json.loads(made.echolm("claims", "small", "--json").output)
    [named] = [one for one in document if "claim" in one]
    sentence = named["text"]
    assert sentence.startswith("the odd <b>head</b> is better than gcn in Dice ED (%): ")
    assert "under fold all of it (" in sentence and "patients alone (2 seeds each)" in sentence
    assert sentence.endswith("synthetic data (phantom).")
    assert re.sub(r"\W+", "", sentence) in re.sub(r"\W+", "", parsed.text)
    assert f"- {sentence}" in made.echolm("claims", "small").output
    assert sentence not in made.echolm("claims", "small", "--table", "main").output


def test_means_of_distributions_are_the_tables_numbers(made: Any, text: str) -> None:
    """Also from the rows alone, by independent code."""
    table = build(made.grid, "main", made.workspace.results("small"))
    block = re.findall(r'<table class="boxes">(.*?)</table>', text, re.DOTALL)
    shown = [re.findall(r'<td class="n">([\d.]+)</td>', one) for one in block]
    assert len(shown) == 2 and [len(one) for one in shown] == [8, 8]
    for at, row in enumerate(table.rows):
        own = [value.number.estimate for value in row.values if value.number]
        assert [shown[0][2 * at], shown[1][2 * at + 1]] == [f"{number:.2f}" for number in own]
        means = []
        for source in row.values[0].sources:
            path = (
                made.workspace.results("small")
                / "predictions"
                / f"{source.fingerprint[:16]}.parquet"
            )
            rows = [
                one
                for one in pq.read_table(path).to_pylist()
                if one["split"] == "test" and one["slot"] == "ED"
            ]
            means.append(np.mean([one["dice"] for one in rows]))
        assert shown[0][2 * at] == f"{np.mean(means):.2f}"


def test_missing_and_failed_cells_are_shown_with_what_to_type(made: Any, parsed: Parsed) -> None:
    facts = re.search(r"8 cells in 4 settings (.*?) of computing", parsed.text)
    assert facts and "6 complete" in facts[1] and "1 failed" in facts[1] and "1 pending" in facts[1]
    where = str(made.workspace.root).replace("'", "'\"'\"'")
    for words in (f"echolm --workspace '{where}' retry", f"echolm --workspace '{where}' launch"):
        assert words in parsed.text
    assert "the run failed" in parsed.text and "no complete run was collected" in parsed.text
    failed = made.at(head="gcn", fraction="50%", seed="1")
    assert f"bug {failed.id[:8]} · now failed" in parsed.text


def test_a_failed_run_has_the_curve_of_its_record(made: Any, text: str) -> None:
    def lines(anchor: str) -> int:
        block = text[text.index(f'id="{anchor}"') :]
        return block[: block.index("</figure>")].count('fill="none"')

    content = gather(made.grid, made.workspace.results("small"), made.workspace.root)
    runs = {setting.anchor: [run.state for run in setting.runs] for setting in content.settings}
    for anchor, states in runs.items():
        assert lines(anchor) == 2 * sum(state != "pending" for state in states)


def test_frames_are_those_of_the_store(made: Any, text: str, parsed: Parsed) -> None:
    store = ClipStore.open(made.workspace.store("echonet-dynamic-phantom"))
    known = [
        store.read(row, np.array([store.items[row].values[name]]))[0]
        for row in store.split("test")
        for name in ("ed", "es")
    ]
    images = [own["href"] for tag, own in parsed.elements if tag == "image"]
    assert images and len(images) == len(set(images))
    for image in images:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))))
        assert any(np.array_equal(pixels, frame) for frame in known)
    assert text.count("<use ") == 4 * 6


def test_best_and_worst_are_those_of_the_predictions(made: Any, text: str) -> None:
    content = gather(made.grid, made.workspace.results("small"), made.workspace.root)
    setting = content.settings[0]
    by_sample: dict[str, list[float]] = {}
    for row in pq.read_table(setting.runs[0].predictions).to_pylist():
        if row["split"] == "test":
            by_sample.setdefault(row["sample"], []).append(row["dice"])
    order = sorted(by_sample, key=lambda sample: -float(np.mean(by_sample[sample])))
    block = text[text.index(f'id="{setting.anchor}"') :]
    shown = re.findall(r"<b>(best|median|worst)</b> <small>(.*?)</small>", block)[:3]
    assert shown == [("best", order[0]), ("median", order[len(order) // 2]), ("worst", order[-1])]


def test_the_same_content_gives_the_same_page(made: Any, text: str) -> None:
    assert made.report() == text


def test_without_frames_no_picture_and_no_sample_is_in_it(made: Any, tmp_path: Path) -> None:
    out = tmp_path / "passed on.html"
    done = made.echolm("report", "small", "--no-frames", "--out", str(out))
    assert done.exit_code == 0, done.output
    page = out.read_text(encoding="utf-8")
    store = ClipStore.open(made.workspace.store("echonet-dynamic-phantom"))
    assert "data:image" not in page and not [
        item.sample for item in store.items if item.sample in page
    ]
    assert "Frames were left out on request" in page


def test_a_page_elsewhere_names_logs_without_the_path_of_the_workspace(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOLM_WORKSPACE", str(made.workspace.root))
    monkeypatch.chdir(
        made.workspace.root
    )  # where the grid's file lies: commands name it by its path
    from click.testing import CliRunner

    from echolm.cli import main

    out = tmp_path / "page.html"
    assert CliRunner().invoke(main, ["report", "small", "--out", str(out)]).exit_code == 0
    page = out.read_text(encoding="utf-8")
    assert "/attempts/1/log.txt</code>" in page and 'log.txt"' not in page
    assert str(made.workspace.root.parent) not in page


def test_from_the_collected_files_alone(copy: Any, text: str) -> None:
    """Numbers, curves and distributions stay; contours and logs are left out, and it says why."""
    shutil.rmtree(copy.workspace.runs)
    (copy.workspace.root / "data" / "echonet-dynamic-phantom").unlink()
    page = copy.report()
    seen, before = Parsed(page), Parsed(text)
    assert "The run records are not at hand" in seen.text and "Contours are left out: " in seen.text
    assert "no clip store here" in seen.text and "data:image" not in page and "log.txt" not in page
    for name in ("Distributions", "Cost"):
        between = r"(?<= )" + name + r" (Each|6 runs took) .*? (Settings Cells|Failures )"
        part, part_before = re.search(between, seen.text), re.search(between, before.text)
        assert part and part_before, name
        assert part[0] == part_before[0], name
    boxes = [
        re.findall(r'<table class="boxes">.*?</table>', one, re.DOTALL) for one in (page, text)
    ]
    assert boxes[0] == boxes[1]
    assert page.count("by epoch") >= 4


def test_another_store_under_the_same_name_is_not_drawn_from(
    copy: Any, tiny: Path, tmp_path: Path
) -> None:
    from echolm.datasets.phantom.generate import generate_phantom
    from echolm.stores.prepare_clips import prepare

    link = copy.workspace.root / "data" / "echonet-dynamic-phantom"
    link.unlink()
    generate_phantom(tmp_path / "source", videos=24, seed=5)
    prepare("echonet-dynamic", tmp_path / "source", link, workers=1, progress=False)
    page = copy.report()
    assert "no longer counts" in page and "data:image" not in page


def test_failures_of_jobs_are_shown(copy: Any, made: Any) -> None:
    from cluster.failures import JobFailure, note

    cell = made.at(head="gcn", fraction="100%", seed="0").id
    note(
        copy.workspace,
        "small",
        [JobFailure("node-failure", "4711_3", "b", (cell,), "node<7>", "NODE_FAIL")],
    )
    seen = Parsed(copy.report()).text
    assert (
        f"node-failure {cell[:8]} · now complete" in seen
        and "job 4711_3 on node<7>" in seen
        and "NODE_FAIL" in seen
    )


def test_before_anything_ran_it_says_what_to_type(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from echolm.cli import main

    for _ in range(2):  # the first page lies where collected files would, and is none of them
        done = CliRunner().invoke(main, ["-w", str(tmp_path / "new"), "report", "demo"])
        assert done.exit_code == 0, done.output
        assert "no run of demo is collected here" in done.stderr
    seen = Parsed((tmp_path / "new" / "results" / "demo" / "report.html").read_text()).text
    assert "No run was collected yet." in seen and "launch demo --on local" in seen


def test_launched_and_not_collected_is_an_error(copy: Any) -> None:
    (copy.workspace.results("small") / "runs.parquet").unlink()
    done = copy.echolm("report", "small")
    assert (
        done.exit_code == 1
        and "type: echolm --workspace " in done.output
        and " collect " in done.output
        and "/small.yaml" in done.output
    )
    with pytest.raises(EchoLMError, match="type: echolm collect .*small.yaml"):
        gather(copy.grid, copy.workspace.results("small"), copy.workspace.root)


def test_json_says_what_was_written(copy: Any) -> None:
    import json

    done = copy.echolm("report", "small", "--json")
    written = json.loads(done.output)
    assert written["bytes"] == copy.page.stat().st_size
    assert (written["cells"], written["collected"], written["left_out"]) == (8, 6, [])


def test_a_file_that_cannot_be_written_is_named(made: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = made.echolm("report", "small", "--out", str(tmp_path / "file" / "page.html"))
    assert done.exit_code == 1 and "page.html: cannot be written" in done.output


def test_the_rule_of_published_numbers_stands_once_where_there_are_any(made: Any) -> None:
    """Also where all of them are not comparable, so that no caption has it."""
    content = gather(made.grid, made.workspace.results("small"), made.workspace.root)
    own, beside = (
        build(made.grid, "main", made.workspace.results("small")),
        build(load_grid("nldl2026-phantom"), "table-4", None),
    )
    assert (
        "How published numbers are judged."
        not in encoded_page(content, [own], made.workspace.root).decode()
    )
    assert (
        Parsed(encoded_page(content, [own, beside], made.workspace.root).decode()).text.count(
            f"How published numbers are judged. {RULE}"
        )
        == 1
    )
