"""Uncertain labels as left out, positives and negatives, side by side: each as if the labels had been read so."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.embedded import Server
from flows.cli import cli
from tests.conftest import copy_template
from tests.xray.analyses.conftest import World
from xray.analyses.calibration import line_of
from xray.analyses.policies import _with, under_each
from xray.analyses.run import by_name
from xray.analyses.stored import load_study, load_tests
from xray.errors import AnalysisError

N = 200


@dataclass(frozen=True)
class Judged:
    """Scores and states of the two findings of N images, and the database that has them."""

    scores: pd.DataFrame
    states: pd.DataFrame
    database: str


@pytest.fixture(scope="module")
def judged(server: Server, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """A model judged on labels of which a fifth is uncertain, and Mass never; the tests leave all as it is."""
    database, folder = copy_template(server, _template, "judged"), tmp_path_factory.mktemp("judged")
    draw = np.random.default_rng(4)
    images = [f"i{k}.png" for k in range(N)]
    states = pd.DataFrame(
        {
            "Effusion": draw.choice(["1", "0", "u"], N, p=[0.4, 0.4, 0.2]),
            "Mass": draw.choice(["1", "0", ""], N, p=[0.3, 0.5, 0.2]),
        }
    )
    chance = {name: np.where(column == "1", 1.0, 0.0) for name, column in states.items()}
    scores = pd.DataFrame({name: 1 / (1 + np.exp(-(draw.normal(size=N) + c))) for name, c in chance.items()})
    labels = states.assign(image=images, sex=["MF"[k % 2] for k in range(N)])
    labels.to_csv(folder / "labels.csv", index=False)
    scores.assign(image=images).to_csv(folder / "vendor.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XRAY_DATABASE_URL", database.replace("+psycopg2", ""))
        patch.setenv("XRAY_HOME", str(folder / "home"))
        run("evaluate", str(folder / "vendor.csv"), "--labels", str(folder / "labels.csv"), "--site", "here")
        yield Judged(scores, states, database)


def run(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_policy_gives_the_auc_of_labels_under_that_policy(judged: Judged) -> None:
    scores, states = judged.scores, judged.states
    rows = [json.loads(line) for line in run("analyse", "performance", "--uncertain", "--json").splitlines()]
    by_key = {(row["uncertain"], row["task"]): row for row in rows}
    assert len(by_key) == len(rows) == 6
    for policy, word in (("missing", ""), ("positive", "1"), ("negative", "0")):
        for task in ("Effusion", "Mass"):
            read = states[task].replace("u", word)
            usable = read != ""
            expected = roc_auc_score((read[usable] == "1").astype(int), scores[task][usable])
            row = by_key[policy, task]
            assert row["auc"] == pytest.approx(expected, abs=1e-6)
            assert (row["n"], row["n_pos"]) == (usable.sum(), (read == "1").sum())
    assert by_key["positive", "Mass"]["lower"] == by_key["negative", "Mass"]["lower"]


def test_the_policies_are_printed_as_a_table_and_nothing_is_stored(judged: Judged) -> None:
    def stored() -> list[tuple]:
        with create_engine(judged.database, poolclass=NullPool).connect() as connection:
            rows = connection.execute(text("select * from auc order by id")).all()
            return [
                *map(tuple, rows),
                *map(tuple, connection.execute(text("select * from analysis order by id"))),
            ]

    scores, states = judged.scores, judged.states
    before = stored()
    output = run("analyse", "performance", "--uncertain")
    for word in (
        "uncertain missing",
        "uncertain positive",
        "uncertain negative",
        "Effusion",
        "Mass",
        f"/{N})",
    ):
        assert word in output
    read = (states["Effusion"].replace("u", "1") == "1").astype(int)
    assert f"{roc_auc_score(read, scores['Effusion']):.3f} [" in output
    points = run("analyse", "operating_points", "--uncertain").splitlines()
    assert (
        len({line.split()[5] for line in points if " Effusion " in line}) > 3
    )  # measures, not the threshold again
    assert stored() == before


@pytest.mark.parametrize(
    "name", ["calibration", "operating_points", "net_benefit", "subgroups", "average_precision"]
)
def test_every_analysis_can_be_computed_under_each_policy(judged: Judged, name: str) -> None:
    rows = [json.loads(line) for line in run("analyse", name, "--uncertain", "--json").splitlines()]
    counts = {
        policy: [row["n_pos"] for row in rows if row["uncertain"] == policy]
        for policy in ("missing", "positive", "negative")
    }
    assert 0 < len(counts["missing"]) == len(counts["positive"])
    assert sum(counts["positive"]) > sum(counts["missing"]) == sum(counts["negative"])
    assert "uncertain negative" in run("analyse", name, "--uncertain")


def test_an_analysis_without_a_result_says_so(judged: Judged) -> None:
    result = CliRunner().invoke(cli, ["analyse", "synthesis", "--uncertain"])
    assert (result.exit_code, result.stderr.strip()) == (0, "no result")


def test_policies_need_exactly_one_analysis(judged: Judged) -> None:
    result = CliRunner().invoke(cli, ["analyse", "all", "--uncertain"])
    assert result.exit_code == 2
    assert "--uncertain needs one analysis" in result.output


def test_other_labels_than_the_protocols_are_refused(judged: Judged) -> None:
    with create_engine(judged.database, poolclass=NullPool).begin() as connection:
        connection.execute(text("alter table label disable trigger user"))
        connection.execute(text("update label set states[1] = case states[1] when 1 then 0 else 1 end"))
        with pytest.raises(AnalysisError, match="here: labels of the study's test images are not those"):
            under_each(connection, "evaluation", by_name("performance"))
        connection.rollback()


def test_under_another_policy_nothing_that_was_computed_of_former_labels_is_used(two_sites: World) -> None:
    """Cells of one cohort share calibration lines, ranks and replicates of it."""
    with two_sites.engine.connect() as connection:
        test, *_ = load_tests(connection, load_study(connection, "test"))
    task = min(test.labelled_tasks())
    before = line_of(test, test.dataset, task).coefficients
    turned = _with(test, 1 - test.cohort.labels)
    np.testing.assert_allclose(line_of(turned, test.dataset, task).coefficients, -before, atol=1e-6)
