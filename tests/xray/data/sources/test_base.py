import importlib.metadata

import pytest

from xray.data.sources import base
from xray.errors import DataError

OWN = {"chexpert", "google", "manifest", "mimic_ch", "mimic_nb", "nih", "openi", "padchest", "rsna"}


def test_every_dataset_has_a_reader() -> None:
    assert set(base.sources()) >= OWN


def entry(value: str, name: str = "elsewhere") -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, "xray.sources")


def test_a_reader_from_another_package_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [entry("xray.data.sources.nih:read_nih"), entry("json:loads", name="google")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    readers = base.sources()
    assert readers["elsewhere"] is readers["nih"]
    assert readers["google"].__name__ == "read_google"  # type: ignore[attr-defined]


def test_a_reader_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry("no.such:thing")])
    with pytest.raises(DataError, match="'elsewhere'"):
        base.sources()
