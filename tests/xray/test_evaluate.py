"""Models from elsewhere are judged by files of scores and labels: nothing is trained or split, and each has its name."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score
from sqlalchemy import text
from statsmodels.stats.proportion import proportion_confint

from flows.cli import cli
from xray.analyses import results, shown
from xray.errors import XrayError
from xray.evaluate import Site, evaluate, model_name
from xray.plan import progress
from xray.study import read_study

N = 160
TASKS = ("Effusion", "Mass")


def write_site(folder: Path, seed: int, *models: str, n: int = N) -> tuple[Path, list[Path]]:
    """Labels of two images of each patient, the last image a lateral one, and files of scores of each model."""
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        {
            "Image": [f"i{k}.png" for k in range(n)],
            "patient": [f"p{k // 2}" for k in range(n)],
            "sex": ["MF"[k % 4 // 2] for k in range(n)],
            "view": ["PA"] * (n - 1) + ["lateral"],
        }
    )
    truth = {task: (draw.random(n) < 0.4).astype(int) for task in TASKS}
    frame = frame.assign(**truth)
    frame.to_csv(folder / "labels.csv", index=False)
    files = []
    for position, model in enumerate(models, 1):
        scores = {t: 1 / (1 + np.exp(-(truth[t] * position + draw.normal(size=n)))) for t in TASKS}
        files.append(folder / f"{model}.csv")
        frame[["Image"]].assign(**scores).to_csv(files[-1], index=False)
    return folder / "labels.csv", files


@pytest.fixture
def run(database, tmp_path, monkeypatch):
    """Runs `xray …` against a new database; what it printed. It must succeed."""
    monkeypatch.setenv("XRAY_DATABASE_URL", database.replace("+psycopg2", ""))
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))
    return call


def call(*words: str | Path):
    """Run `xray …` in this process; what it printed. It must succeed."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    if result.exception:
        raise result.exception
    return result


@pytest.fixture
def without_figures(monkeypatch):
    """What takes most of an evaluation's time is left out, where only numbers and sentences are looked at."""
    monkeypatch.setattr(shown, "_figure", lambda part: None)


@pytest.mark.filterwarnings("ignore:The Result.tuples")
def test_two_vendors_are_evaluated_at_one_hospital(run, tmp_path):
    labels, files = write_site(tmp_path / "ours", 1, "Vendor A", "vendor-b")
    words = ("evaluate", *files, "--labels", labels, "--site", "ours")
    result = run(*words)
    page = tmp_path / "home" / "reports" / "evaluation" / "report.html"
    assert result.stdout.rstrip().endswith(str(page))
    assert "1 row(s) are of images of ours outside ours/external/test" in result.stderr, "the lateral one"
    assert (
        "What fails, and why" in result.stdout or "No model from elsewhere is shown to fail" in result.stdout
    )
    assert page.with_name("report.md").read_text().split("**")[1] in " ".join(result.stdout.split()), (
        "the page's first words"
    )
    for line in ("vendor-a reaches a median AUC of", "vendor-b reaches a median AUC of"):
        assert line in result.stdout
    html = page.read_text()
    assert "<dt>From elsewhere</dt><dd>vendor-a, vendor-b</dd>" in html
    assert "Network" not in html
    nowhere = re.compile("trained on(?! is unknown)")
    figures = [file.read_text() for file in page.parent.glob("*.svg")]
    assert [text for text in (html, result.stdout, *figures) if nowhere.search(text)] == [], (
        "bought models were trained nowhere here"
    )
    assert sum("<!-- model -->" in text for text in figures) >= 4
    assert "No verdict:" in html, "it is said why there is none"
    assert "Leaving the test site out" not in html

    answer = json.loads(run(*words, "--json").stdout)
    assert answer["imported"] == [], "the same scores again change nothing"
    rows = {(row["trained_on"], row["task"]): row for row in answer["auc"]}
    truth, scores = pd.read_csv(labels)[:-1], pd.read_csv(files[0])[:-1]
    for task in TASKS:
        row = rows["vendor-a", task]
        assert (row["n"], row["n_pos"]) == (N - 1, truth[task].sum()), (
            "every frontal image, not half of the patients"
        )
        assert row["auc"] == pytest.approx(roc_auc_score(truth[task], scores[task]), abs=1e-9)
    for figure in ("calibration", "net_benefit", "subgroups", "operating_points", "auc"):
        figures = pd.read_csv(page.parent / f"{figure}.csv")
        assert set(figures["trained_on"]) == {"vendor-a", "vendor-b"}, figure
    agreement = pd.read_csv(page.parent / "agreement.csv")
    assert set(zip(agreement["reference"], agreement["trained_on"], strict=True)) == {
        ("vendor-a", "vendor-a"),
        ("vendor-a", "vendor-b"),
    }


@pytest.mark.filterwarnings("ignore:The Result.tuples")
@pytest.mark.usefixtures("without_figures")
def test_a_second_call_adds_models_and_hospitals(engine, tmp_path):
    home = tmp_path / "home"
    labels, (a,) = write_site(tmp_path / "ours", 1, "a")
    other_labels, (b,) = write_site(tmp_path / "other", 2, "b")
    evaluate(engine, home, [Site("ours", "ours", labels, (("a", a),))])
    outcome = evaluate(engine, home, [Site("other", "elsewhere", other_labels, (("b", b),))])
    assert (outcome.study.foreign, [d.site for d in outcome.study.datasets]) == (
        ("a", "b"),
        ["ours", "elsewhere"],
    )
    assert outcome.study.configurations() == []
    with engine.begin() as connection:
        frame = results.performance(connection, "evaluation")
        now = progress(connection, outcome.study)
    assert set(zip(frame["trained_on"], frame["test_dataset"], strict=True)) == {
        ("a", "ours"),
        ("b", "other"),
    }
    assert now.is_done
    assert (now.models, now.models_trained) == (2, 2)


@pytest.mark.filterwarnings("ignore:The Result.tuples")
@pytest.mark.usefixtures("without_figures")
def test_a_protocol_may_take_one_image_of_each_patient(engine, tmp_path):
    labels, (a,) = write_site(tmp_path / "ours", 1, "a")
    evaluate(
        engine, tmp_path / "home", [Site("ours", "ours", labels, (("a", a),))], protocol="external-first"
    )
    with engine.begin() as connection:
        frame = results.performance(connection, "evaluation")
    assert set(frame["n"]) == {N // 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--labels", "L"), "give --site"),
        ((), "give --labels FILE and --site"),
        (("--labels", "L", "--site", "ours", "--model", "x"), "1 name(s) for 2 file(s)"),
        (("--labels", "L", "--site", "ours", "--model", "x", "--model", "x"), "two files would be model 'x'"),
        (
            ("--labels", "L", "--site", "ours", "--reference", "L"),
            "--reference and --reference-labels go together",
        ),
    ],
)
def test_a_missing_option_is_a_usage_error(tmp_path, words, message):
    labels, files = write_site(tmp_path, 1, "a", "b", n=4)
    arguments = [str(labels) if word == "L" else word for word in words]
    result = CliRunner().invoke(cli, ["evaluate", *map(str, files), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.usefixtures("without_figures")
def test_a_registered_dataset_needs_no_labels(run, tmp_path):
    labels, (a, b) = write_site(tmp_path / "ours", 1, "a", "b")
    run("evaluate", a, "--labels", labels, "--site", "ours", "--json")
    answer = json.loads(run("evaluate", b, "--dataset", "ours", "--json").stdout)
    assert {row["trained_on"] for row in answer["auc"]} == {"a", "b"}
    with pytest.raises(XrayError, match="registered with other content or another site"):
        run("evaluate", b, "--labels", labels, "--site", "theirs", "--dataset", "ours")


@pytest.mark.filterwarnings("ignore:The Result.tuples")
@pytest.mark.usefixtures("without_figures")
def test_models_are_compared_with_their_scores_at_a_reference(run, tmp_path):
    labels, (a,) = write_site(tmp_path / "ours", 1, "a")
    reference_labels, (reference,) = write_site(tmp_path / "nih", 2, "a")
    words = (
        *("evaluate", a, "--labels", labels, "--site", "ours", "--reference", reference),
        *("--reference-labels", reference_labels, "--reference-site", "nih-cc"),
    )
    answer = json.loads(run(*words, "--loss-ratio", "3", "--json").stdout)
    assert {(row["trained_on"], row["test_dataset"]) for row in answer["auc"]} == {
        ("a", "ours"),
        ("a", "nih-cc"),
    }
    pairs = {
        (row["train_dataset"], row["test_dataset"], row["task"], row["at_home"]) for row in answer["verdicts"]
    }
    assert pairs == {("nih-cc", "ours", task, True) for task in TASKS}
    assert {row["loss_ratio"] for row in answer["verdicts"]} == {3}
    assert set(answer["verdicts"][0]) >= {
        "verdict",
        "probability_population",
        "share_label_lower",
        "alike",
        "evidence",
    }
    again = run("evaluate", a, "--dataset", "ours")
    assert "What changed from the reference" in again.stdout, "a later call keeps the reference"
    study = read_study(Path(answer["file"]))
    assert (study.reference, study.loss_ratio) == ("nih-cc", 3)
    html = Path(answer["page"]).read_text()
    assert 'id="causes"' in html
    assert "Images or labels?" not in html, "that one is of models trained here"
    assert ".80 for population" in html
    read_again(run, tmp_path)


def read_again(run, folder: Path) -> None:
    """The way out, by commands: plan, a reader who confirms every label, and the verdict that rests on it."""
    listed, filled = folder / "again.csv", folder / "filled.csv"
    words = ("reread", "plan", "evaluation", "--task", "Mass", "--budget", "60", "--to", listed)
    (dry,) = run(*words, "--dry-run", "--seed", "1", "--json").stdout.splitlines()
    assert not listed.exists()
    planned = json.loads(run(*words, "--seed", "1", "--json").stdout)
    assert planned == json.loads(dry)
    assert (planned["read images of"], planned["by the rules of"], planned["reads"]) == ("ours", "nih-cc", 60)
    with pytest.raises(
        XrayError, match=r"again.csv: the list can't be written: File exists; choose another file with --to"
    ):
        run(*words)
    through_pipeline(run, folder / "piped.csv")
    rows = pd.read_csv(listed, dtype=str)
    labels = pd.read_csv(folder / "ours" / "labels.csv").set_index("Image")["Mass"]
    rows["answer"] = np.where(labels[rows["image"]].to_numpy() == 1, "yes", "no")
    rows.assign(reader="anna").to_csv(filled, index=False)
    assert (
        "60 answers would be added (anna), 0 stored before, 0 rows without answer"
        in run("reread", "add", filled, "--dry-run").stderr
    )
    added = json.loads(run("reread", "add", filled, "--json").stdout)
    assert (added["new"], added["known"], added["stored"]) == (60, 0, True)
    (verdict,) = added["verdicts"]
    assert re.fullmatch(r"P\(label\) 0.\d\d -> 0.\d\d after 60 reads \(1 reader\)", verdict["label"])
    assert verdict["share"].startswith("0.00 (-0.")
    output = run("reread", "add", filled).stdout
    assert "after 60 reads (1 reader)" in output


def through_pipeline(run, listed: Path) -> None:
    """Which pictures of the reference to score through the site's pipeline: said, and listed."""
    words = ("reread", "pipeline", "evaluation", "--task", "Mass", "--budget", "20", "--to", listed)
    planned = json.loads(run(*words, "--dry-run", "--json").stdout)
    assert not listed.exists()
    assert (planned["images of"], planned["through"], planned["task"], planned["images"]) == (
        "nih-cc",
        "ours",
        "Mass",
        20,
    )
    assert 0 <= planned["settles image"] <= 1
    error = run(*words).stderr
    assert f"xray intervene add FILE --model {planned['model']} --from nih-cc --to ours" in error
    rows = pd.read_csv(listed, dtype=str)
    assert (list(rows), len(rows)) == (["image", "path"], 20)
    with pytest.raises(XrayError, match=r"piped.csv: the list can't be written: File exists"):
        run(*words)


@pytest.mark.filterwarnings("ignore:The Result.tuples")
@pytest.mark.usefixtures("without_figures")
def test_declared_operating_points_are_used(run, database, engine, tmp_path):
    labels, (a, b) = write_site(tmp_path / "ours", 1, "a", "b")
    words = ("evaluate", a, b, "--labels", labels, "--site", "ours", "--protocol", "external-first")
    run(*words)
    result = run(*words, "--threshold", "a:effusion=0.4", "--threshold", "b:Mass=0.9")
    assert "operating_points" in result.stderr, "a new threshold makes them stale"
    assert "calibration …" not in result.stderr, "and nothing else"
    with engine.begin() as connection:
        rows = connection.execute(
            text(
                "select task, measure, numerator, denominator, value, lower, upper from operating_point_results"
                " where trained_on = 'a' and rule = 'declared'"
            )
        ).all()
    truth, scores = pd.read_csv(labels)[::2], pd.read_csv(a)[::2]
    calls, positive = scores["Effusion"] >= 0.4, truth["Effusion"] == 1
    expected = {
        "sensitivity": (calls & positive, positive),
        "specificity": (~calls & ~positive, ~positive),
        "ppv": (calls & positive, calls),
        "npv": (~calls & ~positive, ~calls),
        "accuracy": (calls == positive, positive | True),
        "positive_rate": (calls, positive | True),
    }
    assert {row.task for row in rows} == {"Effusion"}
    assert {r.measure: (r.numerator, r.denominator) for r in rows} == {
        name: (part.sum(), whole.sum()) for name, (part, whole) in expected.items()
    }
    for row in rows:
        bounds = proportion_confint(row.numerator, row.denominator, method="wilson")
        assert (row.lower, row.upper) == pytest.approx(bounds, abs=1e-9)
    with pytest.raises(XrayError, match="does not score Edema"):
        run(*words, "--threshold", "a:Edema=0.4")
    with pytest.raises(XrayError, match="expected a probability above 0 and below 1, found 4"):
        run(*words, "--threshold", "a:Mass=4")


@pytest.mark.filterwarnings("ignore:The Result.tuples")
@pytest.mark.usefixtures("without_figures")
def test_a_hospitals_own_tables_give_the_same_aucs_as_clean_ones(run, database, engine, tmp_path):
    labels, (scores,) = write_site(tmp_path / "ours", 1, "a")
    words, truth, stored_scores = {1: "ja", 0: "nein"}, pd.read_csv(labels), pd.read_csv(scores)
    hospital_labels = truth.assign(**{task: truth[task].map(words) for task in TASKS})
    hospital_labels.rename(columns={"Effusion": "Pleuraerguss", "Image": "Bild"}).to_excel(
        tmp_path / "labels.xlsx", index=False
    )
    per_cent = stored_scores.assign(
        **{task: (stored_scores[task] * 100).map("{:.12f} %".format) for task in TASKS}
    )
    long = per_cent.rename(columns={"Effusion": "Erguss"}).melt(
        "Image", var_name="finding", value_name="score"
    )
    long.to_csv(tmp_path / "theirs.csv", index=False, sep=";", encoding="latin-1")
    (tmp_path / "labels.toml").write_text(
        '[columns]\nimage = "Bild"\n[findings]\nPleuraerguss = "Effusion"\n[words]\npositive = ["ja"]\nnegative = ["nein"]\n'
    )
    (tmp_path / "scores.toml").write_text('[findings]\nErguss = "pleural effusion"\n')
    clean = json.loads(run("evaluate", scores, "--labels", labels, "--site", "clean", "--json").stdout)
    words_of_command = (
        "evaluate",
        tmp_path / "theirs.csv",
        "--labels",
        tmp_path / "labels.xlsx",
        "--site",
        "west",
    )
    maps = ("--map", tmp_path / "labels.toml", "--scores-map", tmp_path / "scores.toml")
    point = ("--threshold", "Effusion=40")
    own = json.loads(
        run(*words_of_command, *maps, "--kind", "percent", *point, "--study", "own", "--json").stdout
    )
    aucs = [{(row["task"]): row["auc"] for row in answer["auc"]} for answer in (clean, own)]
    assert set(aucs[0]) == set(TASKS)
    assert aucs[1] == aucs[0]
    with engine.begin() as connection:
        stored_calls = connection.execute(
            text(
                "select numerator from operating_point_results where trained_on = 'theirs' and rule = 'declared'"
                " and measure = 'positive_rate'"
            )
        ).scalar_one()
    assert stored_calls == (stored_scores["Effusion"][:-1] >= 0.4).sum(), (
        "a threshold of 40 per cent, without the lateral image"
    )


def test_a_model_is_named_after_its_file():
    assert model_name(Path("x/Vendor A (v2).csv.gz")) == "vendor-a-v2"
    with pytest.raises(XrayError, match="--model says another"):
        model_name(Path("___.csv"))


def test_no_network_is_loaded():
    """It would take seconds: neither torch nor Prefect nor MLflow."""
    import subprocess

    code = "import xray.evaluate, flows.cli.evaluate, flows.platform, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "prefect", "mlflow"}.intersection(loaded)


@pytest.mark.parametrize(
    "option", [("--kind", "logit"), ("--missing-as-nan",), ("--reference-site", "nih"), ("--site", "x")]
)
def test_options_for_score_files_are_refused_without_them(option):
    """Not dropped in silence, even where it says what would hold anyway."""
    result = CliRunner().invoke(cli, ["evaluate", "--model", "vendor.onnx", "--dataset", "ours", *option])
    assert result.exit_code == 2
    assert "give SCORES with --labels and --site" in result.output
