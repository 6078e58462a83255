import base64
import re
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xray.report import captions, files, page
from xray.report.answer import answer
from xray.report.parts import accuracy
from xray.report.parts import agreement as agreement_parts
from xray.report.parts.part import Part, plain
from xray.report.verdicts import SHIFT

HOSTILE = "<script>alert('x')</script>&\"_b"


class Reader(HTMLParser):
    """Collects tags with their attributes, the text of table cells by table, and checks that tags close."""

    VOID = ("meta", "img", "br", "wbr")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self.open) and "small" not in self.open:
            self.tables[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def study() -> page.Study:
    return page.Study(
        name="two-sites",
        question="Do they work elsewhere?",
        protocol="corrected 1",
        network="densenet121, 224 px",
        configurations=["beta", "alpha", "all"],
        seeds=[0, 1],
        cohorts=pd.DataFrame(
            [("beta", "test", None, 800, None), ("beta", "test", "Mass", 800, 1100)],
            columns=["dataset", "part", "task", "n", "n_pos"],
        ),
        provenance={"Code version": "0.1.0", "Date": "2020-02-20"},
        models=pd.DataFrame({"model": ["all"], "version": [3]}),
    )


def drawing_of(part: Part) -> page.Drawing:
    """The part with its figure, as the report has it."""
    assert part.draw is not None
    figure = part.draw()
    return page.Drawing(part, files.svg(figure), float(figure.get_size_inches()[0]))


@pytest.fixture
def parts(
    study: page.Study,
    performance: pd.DataFrame,
    left_out: pd.DataFrame,
    comparison: pd.DataFrame,
    agreement: pd.DataFrame,
) -> dict[str, Any]:
    kappas = agreement_parts.agreement(agreement.assign(rule="target", tau=np.nan, n_pos=40))
    return {
        "title": "Two sites",
        "answer": answer(performance, pd.DataFrame(columns=list(SHIFT))),
        "study": study,
        "parts": [
            drawing_of(accuracy.performance(performance)),
            drawing_of(accuracy.leave_one_site_out(comparison, left_out)),
            page.Drawing(kappas),
            page.Drawing(
                replace(plain("transfer", "Transfer", pd.DataFrame()), findings=["The threshold moved."])
            ),
        ],
        "notes": ["The sites are drawn."],
        "commands": ["xray study run 'two sites.toml'"],
    }


def test_the_sections_of_the_page_are_in_order(parts: dict[str, Any]) -> None:
    text = read(page.render(**parts)).text
    heads = [
        "Do they work elsewhere?",
        "Models from elsewhere fail at",
        "What fails, and why",
        "Beware",
        "What is not clear",
        "How cells are judged",
        "Where it fails",
        "10 of 12 cells could be computed",
        "AUC of each model on each dataset.",
        "Atelectasis: AUC",
        "Tested on beta, “own data only” against",
        "Why",
        "Median κ",
        "Further",
        "The threshold moved.",
        "What was asked",
        "corrected 1",
        "densenet121, 224 px",
        "beta, alpha, all",
        "Part “test”",
        "The sites are drawn.",
        "2020-02-20",
        "xray study run 'two sites.toml'",
    ]
    start = 0
    for head in heads:
        start = text.index(head, start)


def test_the_answer_is_open_and_everything_else_is_folded(parts: dict[str, Any]) -> None:
    reader = read(page.render(**parts))
    first = parts["answer"]
    cells = {
        (row[0], site): cell
        for row in reader.tables[0][1:]
        for site, cell in zip(reader.tables[0][0][1:], row[1:], strict=True)
    }
    assert cells == {(row.name, site): cell.state for (row, site), cell in first.cells.items()}
    assert set(first.failures)
    assert all(sentence in reader.text for sentence in first.failures)
    folds = reader.all("details")
    assert len(folds) > 6
    assert not any("open" in fold for fold in folds)
    open_parts = [
        tag for tag, attributes in reader.tags[: reader.tags.index(("details", folds[0]))] if tag == "li"
    ]
    assert len(open_parts) >= len(first.failures)


def test_tables_hold_the_numbers_of_the_frames(parts: dict[str, Any], performance: pd.DataFrame) -> None:
    reader = read(page.render(**parts))
    _, atelectasis, mass, *_ = reader.tables
    for task, table in (("Atelectasis", atelectasis), ("Mass", mass)):
        assert table[0] == ["trained on", "beta", "alpha"]
        rows = performance[performance["seed"].isna() & (performance["task"] == task)]
        aucs = {(row.trained_on, row.test_dataset): row.auc for row in rows.itertuples()}
        for head, *cells in table[1:]:
            for dataset, cell in zip(("beta", "alpha"), cells, strict=True):
                auc = aucs[head, dataset]
                assert cell == ("–" if np.isnan(auc) else f"{auc:.3f}")


def test_the_page_loads_nothing_from_outside(parts: dict[str, Any]) -> None:
    html = page.render(**parts)
    reader = read(html)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in reader.tags}
    for tag, attributes in reader.tags:
        for name in ("src", "href", "srcset", "action", "background", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/svg+xml;base64,")), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes)
    for script in reader.all("script"):
        assert set(script) <= {"type", "class"}
    policy = next(meta["content"] or "" for meta in reader.all("meta") if meta.get("http-equiv"))
    (code,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert f"'sha256-{base64.b64encode(sha256(code.encode()).digest()).decode()}'" in policy, (
        "no other code runs"
    )
    assert "connect-src" not in policy
    assert "default-src 'none'" in policy
    anchors = {attributes["id"] for _, attributes in reader.tags if attributes.get("id")}
    assert {(link["href"] or "")[1:] for link in reader.all("a")} <= anchors
    assert not re.search(r"https?:|@import|url\(", html)
    for image in reader.all("img"):
        image_text = base64.b64decode((image["src"] or "").split(",", 1)[1]).decode()
        assert not re.search(r"<script|<metadata|DOCTYPE|href=\"(?!#|data:image/png)|url\((?!#)", image_text)


def test_a_screen_reader_can_read_the_page(parts: dict[str, Any]) -> None:
    html = page.render(**parts)
    reader = read(html)
    assert reader.all("html")[0]["lang"] == "en"
    assert "width=device-width" in str(reader.all("meta"))
    assert [len(image["alt"] or "") > 40 for image in reader.all("img")] == [True, True]
    assert "all sites but this 0.41" in html
    assert {cell.get("scope") for cell in reader.all("th")} == {"col", "row"}
    assert len(reader.all("caption")) == len(reader.all("table"))
    assert len(reader.all("h1")) == 1
    labels = {attributes["id"] for _, attributes in reader.tags if attributes.get("id")}
    assert {section["aria-labelledby"] for section in reader.all("section")} <= labels


def test_names_are_escaped(parts: dict[str, Any], performance: pd.DataFrame, study: page.Study) -> None:
    without = read(page.render(**parts))
    frame = performance.replace({"beta": HOSTILE})
    frame["reason"] = frame["reason"].replace("not trained", HOSTILE)
    part = replace(accuracy.performance(frame), caption=captions.Caption(HOSTILE, HOSTILE, HOSTILE))
    other = replace(
        plain("x", HOSTILE, frame), short_table=pd.DataFrame({HOSTILE: [HOSTILE]}), findings=[HOSTILE]
    )
    parts["parts"] = [drawing_of(part), page.Drawing(other)]
    parts |= {"title": HOSTILE, "notes": [HOSTILE], "commands": [HOSTILE]}
    object.__setattr__(study, "provenance", {HOSTILE: HOSTILE})
    reader = read(page.render(**parts))
    assert {tag for tag, _ in reader.tags} <= {tag for tag, _ in without.tags} | {"wbr"}
    assert reader.text.count(HOSTILE) > 10
    assert reader.all("img")[0]["alt"] == HOSTILE


def test_a_page_without_parts_notes_or_rows_is_rendered(
    parts: dict[str, Any], performance: pd.DataFrame, agreement: pd.DataFrame
) -> None:
    bare = {**parts, "parts": [], "notes": [], "commands": []}
    assert "What was asked" in page.render(**bare)
    assert "Make it again" not in page.render(**bare)
    nothing = [
        page.Drawing(accuracy.performance(performance.head(0))),
        page.Drawing(agreement_parts.agreement(agreement.assign(rule="target", tau=np.nan).head(0))),
    ]
    html = page.render(**{**bare, "parts": nothing})
    assert "There is no result yet." in html
    assert "No agreement could be computed." in html
    undefined = performance.assign(auc=np.nan, lower=np.nan, upper=np.nan, reason="one class")
    html = page.render(**{**bare, "parts": [page.Drawing(accuracy.performance(undefined))]})
    assert "0 of 12 cells could be computed" in html
    assert html.count("<small>one class</small>") == 12


def test_a_large_figure_is_in_the_page_only_where_it_is_central(
    parts: dict[str, Any], performance: pd.DataFrame
) -> None:
    central = accuracy.performance(performance)
    for part, count in ((central, 1), (replace(central, central=False), 0)):
        html = page.render(**{**parts, "parts": [page.Drawing(part, b" " * 1_000_000, 3.0)]})
        assert html.count("data:image") == count


def test_the_page_is_written_the_same_each_time(parts: dict[str, Any], tmp_path: Path) -> None:
    path = page.write(tmp_path / "new" / "report.html", **parts)
    first = path.read_bytes()
    assert page.write(path, **parts).read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
