"""What MLflow and Prefect have of the demo: a finished run and one loadable version per model, a run per flow and task."""

import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors import safe_open

from tests.homes import OURS, PROJECT
from xray.analyses.run import ANALYSES
from xray.tasks import TASKS

N_MODELS, N_EPOCHS, N_CONFIGURATIONS = 18, 16, 9

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def models(demo) -> pd.DataFrame:
    return demo.ask(
        "select model.*, array(select dataset.name || ' ' || cohort.part from training_cohort"
        " join cohort on cohort.id = cohort_id join dataset on dataset.id = dataset_id"
        " where model_id = model.id) as parts from model order by id"
    )


# MLflow


def test_every_model_has_exactly_one_finished_run(demo, models):
    runs = demo.ask("select * from runs where lifecycle_stage = 'active'", "mlflow").set_index("run_uuid")
    assert set(runs["status"]) == {"FINISHED"}
    assert len(models) == N_MODELS == models["mlflow_run_id"].nunique()
    (report,) = runs.index.difference(models["mlflow_run_id"])
    assert runs.loc[report, "name"] == "report"
    for row in models.itertuples():
        run = runs.loc[row.mlflow_run_id]
        assert run["name"] == f"{row.trained_on}/{row.seed}"
        assert run["end_time"] >= run["start_time"]


def test_runs_have_the_parameters_of_the_recipe(demo, models):
    params = demo.ask("select * from params", "mlflow")
    for row in models.itertuples():
        own = params[params["run_uuid"] == row.mlflow_run_id].set_index("key")["value"].to_dict()
        recipe = dict(row.recipe)
        strengths = {f"augmentation.{name}": value for name, value in recipe.pop("augmentation").items()}
        expected = {
            "trained_on": row.trained_on,
            "seed": row.seed,
            "protocol": "corrected",
            "tasks": "all",
            "where": "all images",
            "findings": ", ".join(TASKS),
            **recipe,
            **strengths,
        }
        assert own == {name: str(value) for name, value in expected.items()}
        assert own["epochs"] == str(N_EPOCHS)


def test_runs_have_the_metrics_of_every_epoch(demo, models):
    metrics = demo.ask("select * from metrics", "mlflow")
    for row in models.itertuples():
        own = metrics[metrics["run_uuid"] == row.mlflow_run_id]
        for name in ("loss", "validation_auc", "validation_auc/Effusion"):
            one = own[own["key"] == name].sort_values("step")
            assert one["step"].tolist() == list(range(N_EPOCHS)), (row.name, name)
            assert np.isfinite(one["value"]).all()
        epochs = own[own["key"] == "validation_auc"].set_index("step")["value"]
        assert epochs[row.best_epoch] == pytest.approx(row.validation_auc, abs=1e-12)
        assert epochs.max() == epochs[row.best_epoch]
        tasks = {key.partition("/")[2] for key in own["key"] if "/" in key}
        assert {"Nodule", "Emphysema"} - tasks == {
            "phantom-c": {"Nodule"},
            "phantom-d": {"Emphysema"},
        }.get(row.trained_on, set())
        assert "image" not in " ".join(own["key"])


def test_runs_name_their_input_cohorts(demo, models):
    inputs = demo.ask(
        "select i.destination_id as run, d.name, d.digest, d.dataset_source, t.value as part from inputs i"
        " join datasets d on d.dataset_uuid = i.source_id"
        " join input_tags t on t.input_uuid = i.input_uuid and t.name = 'mlflow.data.context'"
        " where i.destination_type = 'RUN'",
        "mlflow",
    )
    hashes = demo.ask(
        "select dataset.name || ' ' || part as part, cohort.content_hash from cohort"
        " join dataset on dataset.id = dataset_id"
    ).set_index("part")["content_hash"]
    for row in models.itertuples():
        of_run = inputs[inputs["run"] == row.mlflow_run_id]
        tested = of_run["name"][of_run["part"] == "test"]
        assert set(tested) == {f"phantom-{site}" for site in "abcd"}  # by AUCs, beside what it was trained on
        own = of_run[of_run["part"] != "test"]
        names = (own["name"] + " " + own["part"]).tolist()
        assert sorted(names) == sorted(row.parts)
        assert len(names) == len(set(names))
        for one in own.itertuples():
            whole = hashes[f"{one.name} {one.part}"]
            assert whole.startswith(one.digest)
            assert json.loads(one.dataset_source)["content_hash"] == whole


def test_every_model_has_one_version_and_one_alias(demo, models):
    versions = demo.ask("select * from model_versions", "mlflow")
    aliases = demo.ask("select * from registered_model_aliases", "mlflow")
    best = aliases[aliases["alias"] == "best"]
    aliases = aliases[aliases["alias"] != "best"]
    assert len(versions) == len(aliases) == N_MODELS
    assert sorted(best["name"]) == sorted(set(versions["name"]))
    assert versions["name"].nunique() == N_CONFIGURATIONS
    assert set(versions["status"]) == {"READY"}
    runs = versions.set_index(["name", "version"])["run_id"]
    points_at = aliases.set_index(["name", "alias"])["version"]
    for row in models.itertuples():
        assert row.mlflow_model == f"phantom.{row.trained_on}"
        assert row.name == f"{row.mlflow_model}/{row.mlflow_version}"
        assert runs[row.mlflow_model, row.mlflow_version] == row.mlflow_run_id
        assert points_at[row.mlflow_model, f"seed-{row.seed}"] == row.mlflow_version


def test_weights_are_safetensors_and_no_file_can_hold_code(demo):
    locations = demo.ask("select storage_location from model_versions", "mlflow")["storage_location"]
    for location in locations:
        folder = Path(unquote(urlparse(location).path))
        files = {path.name for path in folder.rglob("*") if path.is_file()}
        assert "model.safetensors" in files
        assert not {Path(name).suffix for name in files} - {".safetensors", ".txt", ".yaml", ".json", ""}
        (weights,) = folder.rglob("model.safetensors")
        with safe_open(weights, framework="np") as file:
            assert tuple(json.loads(file.metadata()["tasks"])) == TASKS
    suffixes = {path.suffix for path in (demo.home.path / "mlflow").rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".joblib"}


SERVE = """
import json, pickle, sys
import cloudpickle, mlflow, numpy as np, torch

def refuse(*_, **__):
    raise AssertionError("something was unpickled")

class Refusing(pickle.Unpickler):
    load = __init__ = refuse

pickle.Unpickler = pickle._Unpickler = Refusing
for module in (pickle, cloudpickle, torch, torch.serialization, torch.jit):
    for name in ("load", "loads"):
        if hasattr(module, name):
            setattr(module, name, refuse)
import mlflow.pyfunc
pixels = np.load(sys.argv[1])
for number, name in enumerate(sys.argv[2:]):
    np.save(f"{number}.npy", mlflow.pyfunc.load_model(name).predict(pixels))
for load in (pickle.load, torch.load):
    try:
        with open("x.pkl", "rb") as file:
            load(file)
    except AssertionError as error:
        print(error)
"""
"""Loads models where a pickle is refused; at the end it tries whether one is, by whichever way it is read."""


def read_as_anyone_would(folder: Path, images: list[str]) -> np.ndarray:
    """Pictures of the site from its files, without our code: (n, 1, size, size) in [-1024, 1024]."""
    images_read = np.stack([np.asarray(Image.open(folder / f"{image}.png")) for image in images])
    assert images_read.dtype == np.uint8
    return (images_read[:, None] / 255 * 2048 - 1024).astype(np.float32)


def test_another_process_loads_models_without_unpickling_and_gets_the_stored_logits(
    demo, models, predictions, tmp_path
):
    (by_alias,) = models.loc[(models["trained_on"] == "phantom-c") & (models["seed"] == 0), "name"]
    addresses = {
        "models:/phantom.phantom-a/1": "phantom.phantom-a/1",
        "models:/phantom.all-but-phantom-d/2": "phantom.all-but-phantom-d/2",
        "models:/phantom.phantom-c@seed-0": by_alias,
    }
    scores = predictions[predictions["test_dataset"] == "phantom-b"]
    images = sorted(scores["image"].unique())[:200]
    np.save(
        tmp_path / "pixels.npy",
        read_as_anyone_would(demo.home.path / "phantom" / "phantom-b-0" / "images", images),
    )
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"weights": [1.0]}))
    own = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = {**own, "PYTHONPATH": str(PROJECT), "MLFLOW_TRACKING_URI": demo.databases.mlflow}
    process = subprocess.run(
        [sys.executable, "-c", SERVE, "pixels.npy", *addresses],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == 2 * "something was unpickled\n"
    for number, model in enumerate(addresses.values()):
        logits = np.load(tmp_path / f"{number}.npy")
        assert logits.shape == (200, len(TASKS))
        stored_logits = scores[scores["model"] == model].pivot(index="image", columns="task", values="logit")
        stored = stored_logits.loc[images].to_numpy(np.float32)
        columns = [TASKS.index(task) for task in stored_logits.columns]
        assert len(columns) >= 7
        np.testing.assert_allclose(logits[:, columns], stored, atol=1e-5, rtol=1e-6, err_msg=model)
        assert np.ptp(stored, axis=0).min() > 0.5, "logits that do not vary prove nothing"


# Prefect


def test_the_study_has_one_completed_flow_run_with_its_task_runs(demo):
    flows = demo.ask(
        "select f.name, r.id, r.state_type, r.parameters from flow_run r join flow f on f.id = r.flow_id",
        "prefect",
    )
    (flow,) = flows.itertuples()
    assert (flow.name, flow.state_type) == ("study", "COMPLETED")
    assert flow.parameters == {"study": str(demo.file.resolve())}
    tasks = demo.ask("select * from task_run", "prefect")
    assert set(tasks["flow_run_id"]) == {flow.id}
    assert set(tasks["state_type"]) == {"COMPLETED"}
    names = tasks["name"].str.split().str[0].value_counts().to_dict()  # "train phantom-a seed 0"
    expected = {"prepare": 4, "train": 18, "evaluate": 18, "analyse": 1, "report": 1}
    assert {name: names[name] for name in expected} == expected


def test_no_task_gets_an_array(demo):
    """Task parameters are names, numbers and paths: nothing that Prefect keeps is large."""
    sizes = demo.ask("select max(pg_column_size(t.*)) as n from task_run t", "prefect")
    assert sizes["n"].max() < 20_000


# What a user sees


def test_the_first_run_says_what_it_did_and_what_to_do_next(demo):
    assert f"Trained 18 of 18 models, wrote 72 evaluations, computed {len(ANALYSES)} analyses" in demo.output
    assert "xray ui mlflow" in demo.output
    assert demo.output.splitlines()[-1].endswith("report.html")
    assert "Warning" not in demo.messages
    assert "Traceback" not in demo.messages
    for step in ("training models", "computing performance", "drawing figures"):
        assert f" - {step}" in demo.messages


def test_the_report_has_all_its_files(demo):
    files = demo.report("phantom")
    names = ("auc", "leave_one_site_out", "agreement", "images_or_labels", "mean_auc", "threshold_transfer")
    names += (
        "pooled_agreement",
        "seed_agreement",
        "bland_altman",
        "operating_points",
        "average_precision",
        "calibration",
        "net_benefit",
        "subgroups",
    )
    assert set(files) == {
        "report.html",
        "report.md",
        *(f"{n}.{suffix}" for n in names for suffix in ("png", "svg", "csv")),
    }
    assert all(len(content) > 500 for content in files.values())
    assert files["auc.png"].startswith(b"\x89PNG")
    assert b"<svg" in files["auc.svg"][:1000]


def test_the_csv_of_the_figure_has_the_stored_numbers(demo):
    table = pd.read_csv(demo.home.path / "reports" / "phantom" / "auc.csv")
    stored = demo.ask("select * from auc_results where study = 'phantom'")
    columns = ["trained_on", "test_dataset", "task", "seed"]
    both = table.merge(stored, on=columns, suffixes=("", "_stored"), how="outer", indicator=True)
    assert (both["_merge"] == "both").all()
    for column in ("n", "n_pos", "auc", "lower", "upper"):
        np.testing.assert_allclose(both[column], both[f"{column}_stored"], rtol=1e-12, err_msg=column)


# the home


def test_only_the_owner_can_read_the_files_of_a_study(demo):
    home = demo.home.path
    modes = {path: path.lstat().st_mode for path in (home, *home.rglob("*"))}
    assert len(modes) > 1000
    assert not [str(path) for path, mode in modes.items() if mode & 0o077 and not stat.S_ISLNK(mode)]
