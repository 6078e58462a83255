"""A real browser for tests that look at pages."""

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

LOOKS = ("light", "dark")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def headless() -> Iterator[Browser]:
    """Headless Chromium for the time of a generator; skips where there is none (.ci/run installs it where it can)."""
    if CHROMIUM is None:
        pytest.skip(
            "no Chromium on this machine (apt-get install chromium): nothing was looked at in a browser"
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def grave(page: Page) -> list[tuple[str, str]]:
    """Serious and critical violations of accessibility, by axe: rule, and the first element that breaks it."""
    violations = Axe().run(page).response["violations"]
    return [
        (violation["id"], violation["nodes"][0]["html"])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]
