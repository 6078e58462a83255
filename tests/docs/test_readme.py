"""The README's commands and queries do what it says."""

import json
import re
from pathlib import Path

import pytest

from xray.data.phantom.generate import write_site
from xray.data.phantom.sites import load_sites
from xray.data.sources.manifest import read_manifest
from xray.study import read_study

ROOT = Path(__file__).resolve().parents[2]
README = "README.md"
OWN = ("phantom-a", "phantom-b", "phantom-c", "phantom-d")
"""Models trained on one dataset of the demo."""


@pytest.fixture(scope="module")
def answers(blocks, installation) -> list[list[dict[str, str]]]:
    """Rows of each query of the README, in its order."""
    return [installation.ask(block.text) for block in blocks(README, "sql")]


def test_every_query_has_rows_except_that_of_missing_work(answers):
    assert len(answers) >= 5
    assert all(answers[:-1])
    assert answers[-1] == []


def test_worst_drops_come_first_and_leave_the_own_site_out(answers, installation):
    stored = installation.ask(
        "select trained_on, test_dataset, task, auc from auc_results where study = 'phantom' and seed is null"
    )
    auc = {
        (row["trained_on"], row["test_dataset"], row["task"]): float(row["auc"])
        for row in stored
        if row["auc"]
    }
    drops = []
    for row in answers[0]:
        model, site, task = row["trained_on"], row["test_dataset"], row["task"]
        home, away = auc[model, model, task], auc[model, site, task]
        assert [float(row["at_home"]), float(row["away"])] == pytest.approx([home, away], abs=0.00501)
        drops.append(home - away)  # what is shown is rounded, and need not be in order
    assert drops == sorted(drops, reverse=True)
    assert {row["trained_on"] for row in answers[0]} <= set(OWN)
    assert all(row["trained_on"] != row["test_dataset"] for row in answers[0])


def test_one_image_has_a_row_per_model_and_task(answers):
    keys = [(row["task"], row["trained_on"], row["seed"]) for row in answers[1]]
    models = sorted([*OWN, "all", *(f"all-but-{name}" for name in OWN)])
    assert keys == [(task, model, seed) for task in ("Effusion", "Mass") for model in models for seed in "01"]


def test_the_counts_by_sex_add_up_to_the_test_cohorts(answers, installation):
    whole = installation.ask(
        "select test_dataset, n from auc_results where trained_on = 'phantom-a' and seed = 0 and task = 'Cardiomegaly'"
    )
    sums: dict[str, int] = {}
    for row in answers[2]:
        sums[row["test_dataset"]] = sums.get(row["test_dataset"], 0) + int(row["n"])
    assert sums == {row["test_dataset"]: int(row["n"]) for row in whole}


def test_ensembles_computed_in_sql_equal_the_stored_ones(answers, installation):
    stored = installation.ask(
        "select trained_on, test_dataset, auc from auc_results"
        " where study = 'phantom' and seed is null and task = 'Infiltration'"
    )
    expected, computed = (
        {(row["trained_on"], row["test_dataset"]): float(row["auc"]) for row in rows}
        for rows in (stored, answers[3])
    )
    assert computed == pytest.approx(expected, abs=1e-3)
    assert len(computed) == 9 * len(OWN)


def test_the_query_for_the_shell_runs(blocks, installation, tmp_path):
    query = blocks(README, "sql")[1].text
    output = installation.shell(f'xray sql "{query}"', tmp_path)
    assert output.startswith("task ")
    assert len(output.splitlines()) == 2 + 2 * 18


def test_the_csv_and_the_study_are_well_formed(blocks, tmp_path):
    (manifest,) = blocks(README, "csv")
    (tmp_path / "labels.csv").write_text(manifest.text)
    table = read_manifest(tmp_path / "labels.csv", None)
    assert not table.quarantine
    assert len(table.rows) == 2
    (study,) = blocks(README, "toml")
    (tmp_path / "study.toml").write_text(study.text)
    assert [d.name for d in read_study(tmp_path / "study.toml").datasets] == ["ours", "theirs"]


@pytest.mark.slow
def test_the_study_of_your_own_runs(blocks, installation, tmp_path):
    for name, site in (("ours", "alpha"), ("theirs", "bravo")):
        write_site(load_sites()[site], tmp_path / name, patients=60, size=64, seed=1)
    (study,) = blocks(README, "toml")
    (tmp_path / "my_study.toml").write_text(study.text)
    (commands,) = (block for block in blocks(README, "sh") if block.run)
    output = installation.shell(commands.text, tmp_path)
    assert "ours: registered" in output
    assert "Trained 6 of 6 models" in output
    assert re.search(
        r"models trained +6 of 6\n +evaluations missing +0\n +analyses current +(\d+) of \1", output
    )
    again = json.loads(installation.shell("xray study run my_study.toml --json", tmp_path))
    assert (again["trained"], again["evaluated"], again["analysed"]) == (0, 0, 0)


def test_links_and_pictures_exist():
    text = (ROOT / README).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
