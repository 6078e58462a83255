"""The report's figures and tables answer the mouse and the keyboard, in a browser without a network."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.flows.browser import headless
from tests.xray.report import test_maps
from xray.report import figures, files, page, spots
from xray.report.answer import answer
from xray.report.captions import Caption
from xray.report.parts import accuracy
from xray.report.parts.part import Part
from xray.report.verdicts import SHIFT

EXPLORER = "http://127.0.0.1:8123"
HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from headless()


def write_page(
    folder: Path,
    performance: pd.DataFrame,
    table: pd.DataFrame | None = None,
    data: pd.DataFrame | None = None,
    drawing: page.Drawing | None = None,
) -> Path:
    """A report of one section, with its figure. shown, data: its table of a few rows, and the rows behind it."""
    rows = performance.assign(method="by hand")
    if drawing is None:
        part = accuracy.performance(rows)
        if table is not None and data is not None:
            part = replace(part, short_table=table, data=data)
        assert part.draw is not None
        figure = part.draw()
        drawing = page.Drawing(part, files.svg(figure), float(figure.get_size_inches()[0]), spots.of(figure))
    study = page.Study(
        "two-sites", "?", "corrected", "net", ["beta", "alpha", "all"], [0, 1],
        pd.DataFrame(columns=["dataset", "part", "task", "n", "n_pos"]), {},
    )  # fmt: skip
    return page.write(
        folder / "report.html", title="Two sites", answer=answer(rows, pd.DataFrame(columns=list(SHIFT))), study=study,
        parts=[drawing], notes=[], commands=[],
    )  # fmt: skip


@pytest.fixture
def report(tmp_path: Path, browser: Browser, performance: pd.DataFrame) -> Iterator[Page]:
    """The report with all of it unfolded; its console must stay silent."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    tab, messages = context.new_page(), []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.goto(f"{write_page(tmp_path, performance).as_uri()}#explorer={EXPLORER}")
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    yield tab
    context.close()
    assert messages == []


def position_of(report: Page, title: str) -> dict[str, float]:
    """The middle of the figure's cell whose first line this is, in pixels of the figure."""
    box = report.evaluate(
        "title => { const {texts, spots} = JSON.parse(document.querySelector('script.spots').textContent);"
        " return spots.find(spot => texts[spot[4][0]] === title); }",
        title,
    )
    size = report.locator(".plot").bounding_box()
    assert size is not None
    return {
        "x": (box[0] + box[2] / 2) / 1e4 * size["width"],
        "y": (box[1] + box[3] / 2) / 1e4 * size["height"],
    }


def test_pointing_at_a_cell_shows_interval_counts_and_method(report: Page, performance: pd.DataFrame) -> None:
    rows = performance[performance["seed"].isna() & (performance["task"] == "Mass")]
    for row in rows.itertuples():
        title = f"Mass: trained on {row.trained_on}, tested on {row.test_dataset}"
        report.locator(".plot").hover(position=position_of(report, title))
        lines = report.locator("#tip div").all_inner_texts()
        number = f"AUC {row.auc:.3f} ({row.lower:.3f} to {row.upper:.3f})"
        assert lines == [title, number, f"{row.n:,} images, {row.n_pos:,} positive", "by hand"]
    report.mouse.move(1, 1)
    assert not report.locator("#tip").is_visible()


def test_an_undefined_cell_shows_the_reason(report: Page) -> None:
    title = "Atelectasis: trained on beta, tested on alpha"
    report.locator(".plot").click(position=position_of(report, title))
    assert "not trained" in report.locator("#tip").inner_text()
    assert report.locator("#tip a").count() == 0


def test_a_click_offers_the_images_and_escape_closes_the_offer(report: Page) -> None:
    title = "Mass: trained on alpha, tested on beta"
    report.locator(".plot").click(position=position_of(report, title))
    links = [link.get_attribute("href") for link in report.locator("#tip a").all()]
    query = "model=two-sites.alpha&dataset=beta&task=Mass"
    assert links == [f"{EXPLORER}/images?{query}", f"{EXPLORER}/cell?{query}"]
    report.keyboard.press("Escape")
    assert not report.locator("#tip").is_visible()


def test_without_an_explorer_a_click_says_how_to_start_one(report: Page) -> None:
    title = "Mass: trained on alpha, tested on beta"
    for typed, links in (("", 0), ("javascript:alert(1)", 0), ("127.0.0.1:9000", 2)):
        report.locator("#explorer input").fill(typed)
        report.locator(".plot").click(position=position_of(report, title))
        assert report.locator("#tip a").count() == links, typed
        assert ("xray explore" in report.locator("#tip").inner_text()) == (not links)


@pytest.mark.parametrize("address", ["http://evil.example", "javascript:1", "//", "file:///etc"])
def test_the_address_may_name_only_an_explorer_of_this_machine(report: Page, address: str) -> None:
    report.goto(re.sub("#.*", "", report.url))
    report.goto(f"{report.url}#explorer={address}")
    report.reload()
    assert report.locator("#explorer input").input_value() == ""


def test_the_keyboard_walks_through_the_cells(report: Page) -> None:
    report.locator("figure .scroll").focus()
    report.keyboard.press("ArrowRight")
    first = report.locator("#tip").inner_text()
    report.keyboard.press("ArrowRight")
    assert report.locator("#tip").inner_text() != first
    report.keyboard.press("ArrowLeft")
    assert report.locator("#tip").inner_text() == first
    report.keyboard.press("Enter")
    assert report.evaluate("document.activeElement.textContent") == "images"


def test_a_cell_of_the_first_screen_leads_to_the_images(report: Page) -> None:
    report.locator("td.fails").first.click()
    link = report.locator("#tip a").first.get_attribute("href") or ""
    assert link.startswith(f"{EXPLORER}/images?model=two-sites.")
    assert "AUC" in report.locator("#tip").inner_text()


def test_a_cell_of_a_table_leads_to_its_images_by_mouse_and_keyboard(report: Page) -> None:
    table = report.locator("table", has_text="Mass: AUC")
    row = table.locator("tbody tr", has=report.get_by_role("rowheader", name="alpha"))
    cell = row.locator("td").first
    cell.click()
    links = [link.get_attribute("href") for link in report.locator("#tip a").all()]
    query = "model=two-sites.alpha&dataset=beta&task=Mass"
    assert links == [f"{EXPLORER}/images?{query}", f"{EXPLORER}/cell?{query}"]
    assert report.locator("#tip div").all_inner_texts()[:2] == [
        "Mass: two-sites.alpha, tested on beta",
        f"beta: {'; '.join(cell.inner_text().split(chr(10)))}",
    ]
    cell.press("ArrowRight")
    report.keyboard.press("Enter")
    assert "dataset=alpha" in (report.locator("#tip a").first.get_attribute("href") or "")
    assert report.evaluate("document.activeElement.textContent") == "images"
    assert table.locator("td[tabindex='0']").count() == 1, "one stop for the tab key in each table"


def test_a_cell_shows_the_full_name_of_its_column(
    tmp_path: Path, browser: Browser, performance: pd.DataFrame
) -> None:
    tab = browser.new_page()
    tab.goto(write_page(tmp_path, performance.replace({"beta": "be-ta_2"})).as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    tab.locator("table", has_text="Mass: AUC").locator("td").first.click()
    assert tab.locator("#tip div").nth(1).inner_text().startswith("be-ta_2: ")
    assert "No explorer is known" in tab.locator("#tip").inner_text()
    tab.close()


def test_an_undefined_cell_of_a_table_leads_nowhere(report: Page) -> None:
    report.locator("td.undefined").first.click()
    assert not report.locator("#tip").is_visible()


def test_a_row_about_one_cell_leads_to_its_images(
    tmp_path: Path, browser: Browser, performance: pd.DataFrame
) -> None:
    some = performance[performance["seed"].isna()].head(2).assign(task="Pleural_Thickening")
    read = some[["task", "trained_on", "test_dataset", "auc"]].replace(
        {"Pleural_Thickening": "Pleural Thickening"}
    )
    frame = read.rename(columns={"trained_on": "trained on", "test_dataset": "tested on"})
    tab = browser.new_page()
    tab.goto(f"{write_page(tmp_path, performance, frame, some).as_uri()}#explorer={EXPLORER}")
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    tab.get_by_role("table", name="The extremes").locator("tbody td").last.click()
    row = some.iloc[1]
    query = f"model=two-sites.{row['trained_on']}&dataset={row['test_dataset']}&task=Pleural_Thickening"
    assert tab.locator("#tip a").first.get_attribute("href") == f"{EXPLORER}/images?{query}"
    tab.close()


def test_the_dot_of_an_image_leads_to_its_page(
    tmp_path: Path, browser: Browser, performance: pd.DataFrame
) -> None:
    part = Part("feature_map", "Images", "", [], test_maps.FEATURES, "", caption=Caption("Images", "", ""))
    figure = figures.feature_map(test_maps.FEATURES, test_maps.IMAGES)
    drawing = page.Drawing(part, files.svg(figure), float(figure.get_size_inches()[0]), spots.of(figure))
    tab = browser.new_page()
    tab.goto(f"{write_page(tmp_path, performance, drawing=drawing).as_uri()}#explorer={EXPLORER}")
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    tab.locator(".plot").click(position=position_of(tab, "image 71, view PA"))
    assert tab.locator("#tip a").get_attribute("href") == f"{EXPLORER}/image/71"
    assert "alpha-again: Mass" in tab.locator("#tip").inner_text()
    tab.close()


def test_tables_can_be_sorted_and_filtered(report: Page) -> None:
    table = report.locator("table", has_text="Mass: AUC")
    column = table.locator("tbody td:first-of-type")

    def values() -> list[float]:
        return [float(text.split("\n")[0]) for text in column.all_inner_texts()]

    before = values()
    for way, expected in (("ascending", sorted(before)), ("descending", sorted(before, reverse=True))):
        table.locator("thead button").nth(1).click()
        assert values() == expected
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == way
    report.locator(".filter input").fill("mass ALPHA")
    visible = report.locator("#auc tbody tr:visible th")
    assert visible.all_inner_texts() == ["alpha"]
    assert report.locator("#auc tbody tr:visible td[tabindex='0']").count() == 1, (
        "still a stop of the tab key"
    )
    report.locator(".filter input").fill("")
    assert visible.count() == 6


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_interactive_parts_are_accessible(report: Page, look: str) -> None:
    report.emulate_media(color_scheme=look)
    report.locator(".plot").click(position=position_of(report, "Mass: trained on alpha, tested on beta"))
    violations = Axe().run(report).response["violations"]
    assert [
        violation["id"] for violation in violations if violation["impact"] in ("serious", "critical")
    ] == []


def test_the_page_fits_the_width_of_a_phone(report: Page) -> None:
    report.set_viewport_size({"width": 390, "height": 844})
    report.locator(".plot").click(position=position_of(report, "Mass: trained on alpha, tested on beta"))
    box = report.locator("#tip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert report.evaluate("document.documentElement.scrollWidth") <= 390


def test_markup_in_names_ends_no_element(tmp_path: Path, browser: Browser, performance: pd.DataFrame) -> None:
    file = write_page(tmp_path, performance.replace({"alpha": HOSTILE}))
    tab = browser.new_page()
    alerts: list[str] = []
    tab.on("dialog", lambda dialog: alerts.append(dialog.message))
    tab.goto(file.as_uri())
    assert alerts == []
    assert tab.locator("script").count() == 2
    assert HOSTILE in tab.evaluate("JSON.parse(document.querySelector('script.spots').textContent).texts")
    tab.close()
