"""The explorer as a user starts it, on the tiny study, and a real browser before it."""

import base64
import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.flows.browser import headless
from tests.flows.conftest import FinishedRun
from tests.homes import Home

COLON = re.compile(r"explorer: (http://\S+)")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Explorer:
    """The pages of a study: their address, their password, and the study."""

    address: str
    password: str
    finished: FinishedRun

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        """One request, its path as it is given. A header None is left out; `_` in names is `-`."""
        key = base64.b64encode(f"admin:{self.password}".encode()).decode()
        sent = {
            "authorization": f"Basic {key}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]  # whatever a stranger sends
        try:
            connection.putrequest(method, path, skip_host="host" in sent, skip_accept_encoding=True)
            for name, value in sent.items():
                connection.putheader(name, value)
            data = body.encode() if body is not None else b""
            if body is not None:
                connection.putheader("content-length", str(len(data)))
            connection.endheaders(data or None)
            response = connection.getresponse()
            read = response.read().decode(errors="replace")
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, read)
        finally:
            connection.close()

    def send(self, path: str, **fields: str) -> Answer:
        """A form, as our own page sends it."""
        kind = "application/x-www-form-urlencoded"
        return self.ask(path, "POST", urlencode(fields), origin=self.address, content_type=kind)


def start(home: Home, *arguments: str) -> Iterator[str]:
    """`xray explore` for the time of a generator: its address."""
    log = (home.path.parent / "explore.err").open("w")
    process = home.start("explore", *arguments, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = COLON.match(line)
        assert match, f"{line}\n{Path(log.name).read_text()}"
        yield match[1]
    finally:
        process.terminate()
        process.wait(20)
        log.close()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def explorer(tiny: FinishedRun) -> Iterator[Explorer]:
    """The explorer on the tiny study."""
    for address in start(tiny.home):
        secrets = json.loads((tiny.home.path / "stack" / "secrets.json").read_text())
        yield Explorer(address, secrets["explorer_password"], tiny)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; .ci/run installs it where it can."""
    yield from headless()


@dataclass
class Tab:
    """A page of the browser, and what its console said."""

    page: Page
    messages: list[str]

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_load_state("networkidle")


def tab(browser: Browser, explorer: Explorer, **options: Any) -> Tab:
    """A new page that knows the password."""
    context = browser.new_context(
        base_url=explorer.address,
        http_credentials={"username": "admin", "password": explorer.password},
        **{"viewport": {"width": 1280, "height": 800}, **options},
    )
    new_tab = Tab(context.new_page(), [])
    new_tab.page.on("console", lambda message: new_tab.messages.append(f"{message.type}: {message.text}"))
    new_tab.page.on("pageerror", lambda error: new_tab.messages.append(f"error: {error}"))
    return new_tab


@pytest.fixture
def page(browser: Browser, explorer: Explorer) -> Iterator[Page]:
    """A page whose console must stay silent."""
    new_tab = tab(browser, explorer)
    yield new_tab.page
    new_tab.page.context.close()
    assert new_tab.messages == []
