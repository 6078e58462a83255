"""The demo's report in a browser: its first screen says what fails and why, as the stored results have it."""

import re
from collections.abc import Iterator

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page

from tests.flows.browser import LOOKS, grave, headless

pytestmark = pytest.mark.timeout(900)

WIDTH, HEIGHT = 1280, 800
ONE_OF_A_SHAPE = """
document.querySelectorAll('details').forEach(each => each.open = true);
document.querySelectorAll('table').forEach(table => {
    const shapes = new Set();
    table.querySelectorAll('tr').forEach(row => {
        const shape = row.outerHTML.replace(/ (href|id|title|data-cells)="[^"]*"/g, '').replace(/>[^<]*</g, '><');
        if (shapes.has(shape)) row.remove();
        shapes.add(shape);
    });
});
"""
"""Opens what is folded away, and leaves of each table's rows one of those that differ in text alone."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    yield from headless()


@pytest.fixture
def page(demo, browser) -> Iterator[Page]:
    """The report as a file, without a network; its console must stay silent."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True)
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto((demo.home.path / "reports" / "phantom" / "report.html").as_uri())
    yield page
    context.close()
    assert messages == []


@pytest.fixture(scope="module")
def failing(demo) -> pd.DataFrame:
    """Findings and sites where each model of another site loses 0.1 or more of its AUC, by the stored results: verdicts."""
    rows = demo.ask(
        "select task, test_dataset, trained_on_a, auc_ab, drop_lower, auc_drop, verdict from shift_results"
        " where study = 'phantom' and auc_drop is not null"
    )
    rows["lost"] = (rows["auc_drop"] >= 0.1) & (rows["drop_lower"] > 0)
    groups = rows.groupby(["test_dataset", "task"])
    return rows[groups["lost"].transform("all")]


def on_the_first_screen(page: Page, text: str) -> bool:
    """Whether an element with this text is seen whole without scrolling."""
    boxes = [element.bounding_box() for element in page.get_by_text(text).all() if element.is_visible()]
    return any(box is not None and box["y"] + box["height"] <= HEIGHT for box in boxes)


def test_the_first_screen_blames_labels_at_phantom_d(page, failing):
    cells = failing[failing["test_dataset"] == "phantom-d"]
    assert set(cells["task"]) == {"Infiltration", "Mass"}
    assert set(cells["verdict"]) == {"label"}
    for task, rows in cells.groupby("task"):
        low, high = rows["auc_ab"].min(), rows["auc_ab"].max()
        for phrase in (f"{task} fails at phantom-d", "To blame: labels", f"AUC {low:.2f} to {high:.2f}"):
            sentences = page.locator("li", has_text=f"{task} fails at phantom-d")
            assert phrase in sentences.inner_text()
        assert on_the_first_screen(page, f"{task} fails at phantom-d")
        for name in rows["trained_on_a"]:
            assert name in sentences.inner_text()


def test_the_page_shows_exactly_the_cells_that_fail_in_the_results(page, failing):
    sites = page.locator("table.answer thead th").all_inner_texts()[1:]
    failures = set()
    for row in page.locator("table.answer tbody tr").all():
        box = row.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= HEIGHT
        cells = [cell.inner_text().split("\n")[0] for cell in row.locator("td").all()]
        assert set(cells) <= {"works", "fails", "cannot say"}
        task = row.locator("th").inner_text()
        failures |= {(site, task) for site, cell in zip(sites, cells, strict=True) if cell == "fails"}
    assert failures == set(zip(failing["test_dataset"], failing["task"], strict=True))


def test_the_terminal_and_the_markdown_begin_with_the_same_sentences(page, demo):
    sentences = page.locator("#answer li").all_text_contents()
    assert len(sentences) > 6
    text = " ".join(
        (demo.home.path / "reports" / "phantom" / "report.md").read_text().replace("\\", "").split()
    )
    terminal = " ".join(demo.output.partition("AUC (95% interval)")[0].split())
    for sentence in (page.locator("h2").first.inner_text(), *sentences):
        assert sentence in text
        assert sentence in terminal


def test_the_last_line_is_the_path_of_the_page_and_xray_report_finds_it(demo):
    last = demo.output.rstrip().splitlines()[-1]
    page = demo.home.path / "reports" / "phantom" / "report.html"
    assert last.endswith("reports/phantom/report.html")
    assert len(demo.output.split("reports/phantom/")) < 4, "the path of the page, not of 43 files"
    for study in ("phantom", demo.file):
        assert demo.home.run("report", study).stdout.strip() == str(page.resolve())
    error = demo.home.run("report", "fantom", exit_code=1).stderr
    assert re.search(r"study 'fantom' has no page .* there are pages of phantom", error)
    demo.home.run("report", "close", "phantom", exit_code=2)


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_is_accessible(page, look):
    page.emulate_media(color_scheme=look)
    assert grave(page) == []
    page.evaluate(ONE_OF_A_SHAPE)
    assert grave(page) == []


def test_the_page_is_readable_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_prints_on_few_sheets(page):
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
