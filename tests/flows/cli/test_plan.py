"""`xray plan size`: from assumed values and from stored results, as JSON; what can't be planned is said."""

import json

import pytest
from click.testing import CliRunner

from flows.cli import cli

PILOT = """select auc, n, n_pos, task from auc_results where study = 'tiny' and seed is null and auc between 0.55 and 0.95
and trained_on = 'tiny-a' and test_dataset = 'tiny-d' order by task limit 1"""


def sizes(*words: str) -> dict[str, int]:
    result = CliRunner().invoke(cli, ["plan", "size", "--json", *words])
    assert result.exit_code == 0, result.output
    return {row["for"].split(",")[0]: row["images"] for row in map(json.loads, result.stdout.splitlines())}


def test_sizes_of_assumed_values_equal_pmvalsampsize():
    rows = sizes(
        *("--auc", "0.8", "--prevalence", "0.018", "--logits", "-5", "2.5", "--ratio-width", "1"),
        *("--sensitivity", "0.5", "--specificity", "0.9", "--threshold", "0.08", "--benefit-width", "0.4"),
    )
    assert rows["observed/expected"] == 905  # as pmvalsampsize says
    assert rows["AUC 0.8"] == 4252
    assert rows["net benefit at 0.08"] == 2757
    assert rows["calibration slope"] == 4554


def test_values_that_are_not_given_come_from_the_pilot(tiny, call):
    (row,) = tiny.ask(PILOT).to_dict("records")
    code, output, _ = call("plan", "size", "--json", "--pilot", "tiny", "tiny-a", "tiny-d", row["task"])
    assert code == 0
    planned = {line["for"].split(",")[0]: line["images"] for line in map(json.loads, output.splitlines())}
    plain = sizes("--auc", repr(row["auc"]), "--prevalence", repr(row["n_pos"] / row["n"]))
    assert plain.items() <= planned.items()
    code, _, words = call("plan", "size", "--pilot", "tiny", "tiny-a", "nowhere", row["task"])
    assert (code, "no AUC of 'tiny-a' on 'nowhere'" in words) == (1, True)


@pytest.mark.parametrize("words", [(), ("--auc", "0.8"), ("--auc", "1.5", "--prevalence", "0.1")])
def test_a_missing_value_is_a_usage_error(words):
    assert CliRunner().invoke(cli, ["plan", "size", *words]).exit_code == 2
