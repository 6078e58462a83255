"""The explorer in a real browser: grid → cell → image → back, slider, filters, SQL, worklists, phone and dark."""

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from sklearn.metrics import cohen_kappa_score, confusion_matrix, roc_auc_score

from tests.flows.browser import LOOKS, grave
from tests.flows.explore.conftest import Explorer, tab

CELL = "/cell?model=tiny.tiny-a&dataset=tiny-d&task=Infiltration"
LIST = "/images?model=tiny.tiny-a&dataset=tiny-d&task=Infiltration"
SHOTS = os.environ.get("XRAY_SCREENSHOTS")
"""A folder to keep pictures of the pages in."""


def scores(explorer: Explorer, condition: str = "true") -> "tuple[np.ndarray, np.ndarray, list[str]]":
    rows = explorer.finished.ask(
        "select image, logit, label from predictions where model = 'tiny.tiny-a/1' and test_dataset = 'tiny-d'"
        f" and task = 'Infiltration' and label is not null and {condition} order by image"
    )
    return rows["logit"].to_numpy(), rows["label"].to_numpy(), rows["image"].tolist()


def test_links_lead_from_the_grid_to_a_cell_to_an_image_and_back(page: Page, explorer: Explorer) -> None:
    page.goto("/?model=tiny.tiny-a")
    row = page.get_by_role("row", name=re.compile("Infiltration"))
    row.get_by_role("link", name="images, Infiltration at tiny-d").click()
    expect(page.locator(".cards li").first).to_be_visible()
    assert page.url.endswith("/images?model=tiny.tiny-a&dataset=tiny-d&task=Infiltration&protocol=corrected")
    page.go_back()
    row.get_by_role("link", name=re.compile("works|fails|cannot say")).nth(1).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Infiltration at tiny-d")
    logits, labels, _ = scores(explorer)
    expect(page.locator(".lead")).to_contain_text(f"AUC {roc_auc_score(labels, logits):.3f}")
    page.get_by_role("link", name="Most confident false positives").click()
    cards = page.locator(".cards li")
    expect(cards.first).to_be_visible()
    assert set(page.locator(".cards dd:nth-child(2)").all_inner_texts()) >= {"negative"}
    assert "positive" not in page.locator(".cards dl div:first-child dd").all_inner_texts()
    highest = logits[labels == 0].max()
    expect(cards.first).to_contain_text(f"{1 / (1 + np.exp(-highest)):.3f}")
    cards.first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="What every model says")).to_be_visible()
    assert page.locator("img.xray").evaluate("picture => picture.naturalWidth") == 32
    page.get_by_role("link", name="images", exact=True).click()
    expect(page.locator(".cards li").first).to_be_visible()
    page.go_back()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Infiltration at tiny-d")


def test_the_slider_moves_the_confusion_table_and_the_address(page: Page, explorer: Explorer) -> None:
    page.goto(CELL)
    logits, labels, _ = scores(explorer)
    for position in (0, 7, 30):
        page.locator("#slider").evaluate(
            "(slider, place) => { slider.value = place; slider.dispatchEvent(new Event('input')) }", position
        )
        threshold = float(page.locator("#t").input_value())
        calls = logits >= threshold
        (tn, fp), (fn, tp) = confusion_matrix(labels, calls)
        table = {
            name: int(page.locator(f"[data-count={name}]").inner_text()) for name in ("tp", "fp", "fn", "tn")
        }
        assert table == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        assert f"t={threshold}" in page.url
    page.locator("#prevalence").fill("0.01")
    sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
    ppv = sensitivity * 0.01 / (sensitivity * 0.01 + (1 - specificity) * 0.99)
    expect(page.locator("[data-value=ppv_there]")).to_have_text(f"{ppv:.3f}")
    page.reload()
    expect(page.locator("[data-value=ppv_there]")).to_have_text(f"{ppv:.3f}")
    assert int(page.locator("[data-count=fp]").inner_text()) == fp
    page.locator("[data-count=fp]").click()
    expect(page.locator(".cards li")).to_have_count(min(int(fp), 48))


def test_filters_leave_the_images_that_fit_and_the_address_says_so(page: Page, explorer: Explorer) -> None:
    page.goto(CELL)
    page.get_by_text("Another cell, or only some of its images").click()
    form = page.locator("form[action='/cell']").first
    form.get_by_label("Sex").select_option("F")
    form.get_by_label("from").first.fill("40")
    form.get_by_role("button", name="Show").click()
    _, labels, _ = scores(explorer, "sex = 'F' and age >= 40")
    expect(page.locator(".lead")).to_contain_text(f"{len(labels)} labelled images, {labels.sum()} positive")
    assert "sex=F" in page.url
    assert "age_from=40" in page.url
    page.get_by_role("link", name="All images").click()
    expect(page.locator(".cards li")).to_have_count(min(48, len(labels)))


def test_a_cut_of_a_cell_has_its_measures_at_stored_operating_points(page: Page, explorer: Explorer) -> None:
    page.goto(f"{CELL}&sex=F&column=view&value_from=PA")
    logits, labels, _ = scores(explorer, "sex = 'F' and view >= 'PA'")
    expect(page.locator(".lead")).to_contain_text(f"AUC {roc_auc_score(labels, logits):.3f}")
    expect(page.locator(".lead")).to_contain_text(f"{len(labels)} labelled images, {labels.sum()} positive")
    line = page.get_by_role("region", name="Measures at the operating points").locator("tbody tr").first
    threshold, sensitivity, specificity = (line.locator("td").nth(k).inner_text() for k in range(3))
    calls = logits >= float(threshold.replace("−", "-")) - 5e-4  # as it is shown, to three places
    assert float(sensitivity.split()[0]) == pytest.approx(calls[labels == 1].mean(), abs=1 / labels.sum())
    assert float(specificity.split()[0]) == pytest.approx((~calls)[labels == 0].mean(), abs=0.02)
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to [01]\.\d{3}\)", specificity)
    expect(page.get_by_text("Calibration: Brier score")).to_be_visible()


def test_images_are_filtered_by_a_column_of_the_label_file(page: Page, explorer: Explorer) -> None:
    page.goto(f"{LIST}&column=view&value_from=PA&value_to=PA")
    _, labels, _ = scores(explorer, "view = 'PA'")
    expect(page.locator(".cards li")).to_have_count(min(48, len(labels)))


def test_the_sql_of_a_page_runs_as_it_is_shown(page: Page, explorer: Explorer) -> None:
    page.goto(f"{CELL}&sex=F")
    page.get_by_text("The SQL for this page").click()
    query = page.locator("#sql pre").first.inner_text()
    rows = explorer.finished.home.sql(query)
    _, labels, images = scores(explorer, "sex = 'F'")
    assert {row["image"]: row["label"] for row in rows} == dict(zip(images, labels.tolist(), strict=True))


def test_a_list_is_downloaded_as_csv_without_names_of_patients(page: Page, explorer: Explorer) -> None:
    page.goto(f"{LIST}&kind=false-negatives")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the list as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    logits, labels, _ = scores(explorer)
    assert [float(row["logit"]) for row in rows] == pytest.approx(sorted(logits[labels == 1]), abs=1e-5)
    assert all(re.fullmatch(r"P-[0-9a-f]{10}", row["patient"]) for row in rows)
    assert "delta" not in json.dumps(rows)


def test_two_models_are_compared_by_their_ranks(page: Page, explorer: Explorer) -> None:
    page.goto(f"{LIST}&kind=disagreements&other=tiny.all")
    ranks = explorer.finished.ask(
        "select a.image, percent_rank() over (order by a.logit) - percent_rank() over (order by b.logit) as distance"
        " from predictions a join predictions b using (image, task, test_dataset)"
        " where a.model = 'tiny.tiny-a/1' and b.model = 'tiny.all/1' and task = 'Infiltration' and test_dataset = 'tiny-d'"
    )
    largest = ranks["distance"].abs().max()
    ranks_shown = page.locator(".cards li").first.get_by_text(re.compile(r"^\d\.\d\d, ")).inner_text()
    one, other = (float(part) for part in ranks_shown.split(", "))
    assert abs(one - other) == pytest.approx(largest, abs=0.011)


def test_the_window_of_a_picture_is_in_its_address(page: Page, explorer: Explorer) -> None:
    page.goto("/image/1")
    picture = page.locator("img.xray")
    assert picture.evaluate("each => getComputedStyle(each).filter") == "none"
    page.get_by_label("inverted").check()
    page.get_by_label("darkest").fill("20")
    assert "url(" in picture.evaluate("each => getComputedStyle(each).filter")
    slope = page.locator("#window feFuncR")
    assert float(slope.get_attribute("slope") or 0) == pytest.approx(-1 / 0.8)
    assert float(slope.get_attribute("intercept") or 0) == pytest.approx(1 / 0.8)
    assert "invert=1" in page.url
    page.reload()
    expect(page.get_by_label("inverted")).to_be_checked()
    assert float(slope.get_attribute("slope") or 0) == pytest.approx(-1 / 0.8)


def test_a_worklist_is_read_blind_by_two_readers_with_the_keyboard(
    browser: Browser, explorer: Explorer
) -> None:
    one = tab(browser, explorer)
    one.open(f"{explorer.address}{LIST}")
    one.page.get_by_text("Have these images read again").click()
    one.page.get_by_label("Name of the worklist").fill("doubtful ones")
    one.page.get_by_label("The first").fill("6")
    one.page.get_by_role("button", name="Save as worklist").click()
    expect(one.page.get_by_role("heading", level=1)).to_have_text("Worklist doubtful ones")
    worklist = one.page.url
    answers = {"Anna": "ynuyny", "Ben": "ynynyy"}
    for reader, keys in answers.items():
        one.open(worklist)
        one.page.get_by_label("Your name").fill(reader)
        one.page.get_by_role("button", name="Read", exact=True).click()
        for number, key in enumerate(keys):
            expect(one.page.locator(".note").first).to_contain_text(f"{number} of 6 read by {reader}")
            one.page.wait_for_load_state()  # keys are heard from then on
            visible = one.page.locator("main").inner_text()
            assert not re.search(r"tiny-|score|P-|label", visible)
            if number == 1:
                one.page.keyboard.press("c")
                one.page.keyboard.type("yes, no and unsure are letters here")
                one.page.keyboard.press("Enter")
            one.page.keyboard.press(key)
        expect(one.page.get_by_text("All images are read")).to_be_visible()
    one.open(worklist)
    pairs = [(a, b) for a, b in zip(*answers.values(), strict=True) if "u" not in a + b]
    kappa = cohen_kappa_score(*zip(*pairs, strict=True))
    row = one.page.locator("#agreement tbody tr").first
    assert row.inner_text().split("\t")[:4] == ["Anna", "Ben", "5", f"{kappa:.2f}".replace("-", "−")]
    reads = explorer.finished.ask(
        "select * from reads where worklist = 'doubtful ones' order by reader, position"
    )
    words = {"y": "yes", "n": "no", "u": "unsure"}
    assert reads["answer"].tolist() == [words[key] for keys in answers.values() for key in keys]
    assert reads["comment"].tolist().count("yes, no and unsure are letters here") == 2
    assert set(reads["task"]) == {"Infiltration"}
    with one.page.expect_download() as download:
        one.page.get_by_role("link", name="Download as CSV").click()
    content = Path(download.value.path()).read_text().replace("Ben", "Cleo")
    one.page.locator("#csv-file").set_input_files(
        {"name": "reads.csv", "mimeType": "text/csv", "buffer": content.encode()}
    )
    expect(one.page.locator("#csv")).not_to_be_empty()
    one.page.get_by_role("button", name="Import").click()
    expect(one.page.locator("#readers tbody tr")).to_have_count(3)
    assert one.messages == []
    one.page.context.close()


PAGES = {
    "grid": "/?model=tiny.tiny-a",
    "cell": CELL,
    "images": LIST,
    "image": "/image/1",
    "worklists": "/worklists",
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_accessible(browser: Browser, explorer: Explorer, look: str) -> None:
    tested = tab(browser, explorer, color_scheme=look)
    for name, address in PAGES.items():
        tested.open(f"{explorer.address}{address}")
        tested.page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true })")
        assert grave(tested.page) == [], name
    assert tested.messages == []
    tested.page.context.close()


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("phone", 390, "light"), ("dark", 1280, "dark"), ("desk", 1280, "light")]
)
def test_pages_fit_the_screen(
    browser: Browser, explorer: Explorer, name: str, width: int, scheme: str
) -> None:
    page_shown = tab(browser, explorer, viewport={"width": width, "height": 844}, color_scheme=scheme)
    for page, address in PAGES.items():
        page_shown.open(f"{explorer.address}{address}")
        assert page_shown.page.evaluate("document.documentElement.scrollWidth") <= width, page
        paper = page_shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        if SHOTS:
            page_shown.page.screenshot(path=Path(SHOTS) / f"{page}-{name}.png", full_page=True)
    assert page_shown.messages == []
    page_shown.page.context.close()


def test_every_page_works_without_scripts(browser: Browser, explorer: Explorer) -> None:
    plain = tab(browser, explorer, java_script_enabled=False)
    plain.open(f"{explorer.address}{CELL}&t=0.5&prevalence=0.2")
    logits, labels, _ = scores(explorer)
    fp = int(((logits >= 0.5) & (labels == 0)).sum())
    expect(plain.page.locator("[data-count=fp]")).to_have_text(str(fp))
    plain.page.context.close()
