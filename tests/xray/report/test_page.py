import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xray.report import captions, figures, grids, page

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


@pytest.fixture
def parts(
    study: page.Study,
    performance: pd.DataFrame,
    left_out: pd.DataFrame,
    comparison: pd.DataFrame,
    agreement: pd.DataFrame,
) -> dict[str, Any]:
    return {
        "title": "Two sites",
        "study": study,
        "tables": {
            "performance": performance,
            "leave_one_site_out": left_out,
            "comparison": comparison,
            "agreement": agreement,
            "transfer": pd.DataFrame({"test_dataset": ["beta"], "change": [-0.012]}),
        },
        "figures": [
            page.Illustration(
                figures.auc_grid(performance),
                captions.auc_grid(grids.auc_grid(performance)),
                page.PERFORMANCE,
            ),
            page.Illustration(
                figures.leave_one_site_out(left_out),
                captions.leave_one_site_out(left_out),
                page.LEAVE_ONE_SITE_OUT,
            ),
        ],
        "notes": ["The sites are drawn."],
        "commands": ["xray study run 'two sites.toml'"],
    }


def test_top_to_bottom(parts: dict[str, Any]) -> None:
    text = read(page.render(**parts)).text
    heads = [
        "Do they work elsewhere?",
        "corrected 1",
        "densenet121, 224 px",
        "beta, alpha, all",
        "Part “test”",
        "10 of 12 cells could be computed",
        "AUC of each model on each dataset.",
        "Atelectasis: AUC",
        "Tested on beta, “own data only” against",
        "Median κ",
        "transfer",
        "The sites are drawn.",
        "2020-02-20",
        "xray study run 'two sites.toml'",
    ]
    places = [
        text.index(head, text.index("What was asked") if index else 0) for index, head in enumerate(heads)
    ]
    assert places == sorted(places)


def test_tables_hold_the_numbers(parts: dict[str, Any], performance: pd.DataFrame) -> None:
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


def test_needs_nothing_from_outside(parts: dict[str, Any]) -> None:
    html = page.render(**parts)
    reader = read(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in reader.tags
    }
    for tag, attributes in reader.tags:
        for name in ("src", "href", "srcset", "action", "background", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/svg+xml;base64,")), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes)
    anchors = {attributes["id"] for _, attributes in reader.tags if attributes.get("id")}
    assert {(link["href"] or "")[1:] for link in reader.all("a")} <= anchors
    assert not re.search(r"https?:|@import|url\(", html)
    for image in reader.all("img"):
        drawn = base64.b64decode((image["src"] or "").split(",", 1)[1]).decode()
        assert not re.search(r"<script|<metadata|DOCTYPE|href=\"(?!#|data:image/png)|url\((?!#)", drawn)


def test_can_be_read_without_eyes(parts: dict[str, Any]) -> None:
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
    plain = read(page.render(**parts))
    frame = performance.replace({"beta": HOSTILE})
    frame["reason"] = frame["reason"].replace("not trained", HOSTILE)
    parts["tables"] = {**parts["tables"], "performance": frame, HOSTILE: pd.DataFrame({HOSTILE: [HOSTILE]})}
    parts["figures"] = [
        page.Illustration(
            figures.auc_grid(frame), captions.Caption(HOSTILE, HOSTILE, HOSTILE), page.PERFORMANCE
        )
    ]
    parts |= {"title": HOSTILE, "notes": [HOSTILE], "commands": [HOSTILE]}
    object.__setattr__(study, "provenance", {HOSTILE: HOSTILE})
    reader = read(page.render(**parts))
    assert {tag for tag, _ in reader.tags} <= {tag for tag, _ in plain.tags} | {"wbr"}
    assert reader.text.count(HOSTILE) > 10
    assert reader.all("img")[0]["alt"] == HOSTILE


def test_awkward_input(parts: dict[str, Any], study: page.Study, performance: pd.DataFrame) -> None:
    empty = {name: pd.DataFrame() for name in parts["tables"]}
    bare = {**parts, "tables": empty, "figures": [], "notes": [], "commands": []}
    assert "There is no result yet." in page.render(**bare)
    assert "No agreement could be computed." in page.render(**bare)
    assert "Make it again" not in page.render(**bare)
    assert "What was asked" in page.render(**{**bare, "tables": {}})
    undefined = performance.assign(auc=np.nan, lower=np.nan, upper=np.nan, reason="one class")
    html = page.render(**{**bare, "tables": {"performance": undefined}})
    assert "0 of 12 cells could be computed" in html
    assert html.count("<small>one class</small>") == 12


def test_write(parts: dict[str, Any], tmp_path: Path) -> None:
    path = page.write(tmp_path / "new" / "report.html", **parts)
    first = path.read_bytes()
    assert page.write(path, **parts).read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
