"""The demo run again: quick, nothing trained, nothing changed."""

import time

import pytest

from xray.analyses.run import ANALYSES

SECONDS = 30.0

pytestmark = pytest.mark.timeout(900)


def test_a_second_demo_does_nothing_quickly_and_says_so(demo):
    rows, files = demo.counts(), demo.report("phantom")
    began = time.monotonic()
    again = demo.home.run("demo")
    took = time.monotonic() - began
    assert took < SECONDS
    assert took < demo.seconds / 4
    assert "All 18 models were trained, scored and analysed already: nothing to do" in again.stdout
    assert "Trained" not in again.stdout
    assert demo.counts() == rows
    assert demo.report("phantom") == files
    assert rows["xray.model"] == 18
    assert rows["xray.evaluation"] == 72


def test_both_runs_print_the_same_table(demo):
    again = demo.home.run("study", "run", demo.file)
    table = again.stdout.partition("All 18 models")[0]
    assert len(table.splitlines()) > 80
    assert demo.output.startswith(table)


def test_status_says_that_nothing_is_left_to_do(demo):
    output = demo.home.run("study", "status", demo.file).stdout
    assert output.splitlines() == [
        "phantom: Four synthetic hospitals whose differences are known",
        "  datasets ready       4 of 4",
        "  models trained       18 of 18",
        "  evaluations missing  0",
        f"  analyses current     {len(ANALYSES)} of {len(ANALYSES)}",
    ]
