"""`xray intervene`: what a model loses on images made to look like another site's, by one command, and only once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.conftest import Home, Typed

STUDY = """
name = "two"
title = "Two hospitals, of which one has worse pictures"
configurations = ["each"]
seeds = [0]
[[datasets]]
name = "a"
phantom = { site = "alpha", patients = 80, size = 32 }
[[datasets]]
name = "e"
phantom = { site = "echo", patients = 80, size = 32 }
[network]
name = "small_convnet"
image_size = 32
[training]
epochs = 1
batch_size = 16
"""
COUNTS = (
    "select (select count(*) from predictions) as scores, (select count(*) from evaluation) as evaluations"
)

pytestmark = pytest.mark.timeout(600)


def test_images_are_changed_scored_shown_and_not_scored_again(
    new_home: Home, tmp_path: Path, typed: Callable[..., Typed]
) -> None:
    study = tmp_path / "two.toml"
    study.write_text(STUDY)
    new_home.run("study", "run", study)
    (before,) = new_home.sql(COUNTS)

    asked = ("intervene", "run", "two", "--model", "a", "--kinds", "noise,histogram")
    code, printed, _ = typed(new_home, *asked, "--dry-run", "--json")
    assert code == 0
    assert [json.loads(line) for line in printed.splitlines()] == [
        {"model": "a", "seed": 0, "from": "a", "to": "e", "kinds": "noise, histogram"}
    ]
    code, _, said = typed(new_home, "intervene", "run", "two", "--kinds", "noize")
    assert (code, "there is no kind 'noize'; did you mean 'noise'?" in said) == (1, True)

    rows = [json.loads(line) for line in new_home.run(*asked, "--json").stdout.splitlines()]
    assert {(row["model"], row["from"], row["to"], row["kind"]) for row in rows} == {
        ("a", "a", "e", "histogram"),
        ("a", "a", "e", "noise"),
    }
    assert all(
        row["loss"] == pytest.approx(row["before"] - row["after"]) for row in rows if row["loss"] is not None
    )
    assert new_home.sql(COUNTS) == [before]
    page = (new_home.path / "reports" / "two" / "report.html").read_text()
    assert "Images changed on purpose" in page
    code, printed, _ = typed(new_home, "explain", "two/a/e/Effusion")
    assert (code, "a's pictures made to look like e's in noise" in printed) == (0, True)

    code, printed, said = typed(
        new_home, *asked, "--json"
    )  # in this process, without Prefect: there is nothing to do
    assert (code, [json.loads(line) for line in printed.splitlines()]) == (0, rows)
    assert "scoring changed images" not in said
    code, printed, _ = typed(new_home, "db", "check", "--json")
    assert code == 0, printed
