"""`xray report open` hands the page the explorer that runs."""

import time
from pathlib import Path

from flows.cli.report import address
from flows.standing.place import ServiceState, State, here


def test_the_page_is_opened_with_the_explorer_of_the_standing_platform(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XRAY_HOME", str(tmp_path))
    page = tmp_path / "a report.html"
    services = [ServiceState("explorer", "ready", 1, "http://127.0.0.1:8200")]
    place = here()
    assert address(page) == page.as_uri()
    place.write_state(State(1, "ready", time.time(), {}, services))
    assert address(page) == page.as_uri(), "what it wrote is not there any more"
    with place.lock():
        assert address(page) == f"{page.as_uri()}#explorer=http://127.0.0.1:8200"
        place.write_state(State(1, "ready", time.time(), {}, []))
        assert address(page) == page.as_uri()
