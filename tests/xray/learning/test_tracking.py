"""Runs and models through a real MLflow."""

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient

from xray.learning.network import Network, load
from xray.learning.tracking import KEY_TAG, Input, Tracker
from xray.tasks import TASKS


@pytest.fixture
def client(mlflow_url: str) -> MlflowClient:
    return MlflowClient(mlflow_url, mlflow_url)


@pytest.fixture
def study(request) -> str:
    """A study name of this test's own."""
    return request.node.name.replace("_", "-")[:50]


def network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network("small_convnet", 16).eval()


def runs(client: MlflowClient, study: str) -> list:
    return list(client.search_runs([client.get_experiment_by_name(study).experiment_id]))


def test_an_experiment_is_made_once(tracker, client, study):
    first = tracker.experiment(study)
    assert tracker.experiment(study) == first
    location = client.get_experiment(first).artifact_location
    assert location.startswith("file://")
    assert location.endswith(f"/{study}")
    assert "%20" in location


def test_a_run_records_parameters_metrics_and_model(tracker, client, study):
    inputs = [Input("nih", "a" * 64, "train", 100), Input("nih", "b" * 64, "validation", 20)]
    run_id = tracker.start(study, "nih/3", "the key", {"epochs": 2, "seed": 3}, inputs)
    now = int(time.time() * 1000)
    for step in range(2):
        tracker.metrics(run_id, {"loss": 1.0 / (step + 1), "validation_auc": float("nan")}, step, now + step)
    new_network = network()
    registered = tracker.finish(run_id, new_network, f"{study}.nih", alias="seed-3")
    assert (registered.run_id, registered.model, registered.version) == (run_id, f"{study}.nih", 1)

    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "nih/3")
    assert run.data.params == {"epochs": "2", "seed": "3"}
    assert run.data.tags[KEY_TAG] == "the key"
    history = client.get_metric_history(run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 1.0), (1, 0.5)]
    assert "validation_auc" not in run.data.metrics  # undefined is left out, never 0
    datasets = {i.dataset.digest: (i.dataset.name, i.tags[0].value) for i in run.inputs.dataset_inputs}
    assert datasets == {"a" * 36: ("nih", "train"), "b" * 36: ("nih", "validation")}
    profile = {json.loads(i.dataset.profile)["images"] for i in run.inputs.dataset_inputs}
    assert profile == {100, 20}

    (version,) = client.search_model_versions(f"name = '{study}.nih'")
    assert (str(version.version), version.run_id) == ("1", run_id)
    assert str(client.get_model_version_by_alias(f"{study}.nih", "seed-3").version) == "1"
    back = load(tracker.weights(f"{study}.nih", 1))
    for name, tensor in new_network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)


def test_the_alias_always_points_to_the_best_seed(tracker, client, study):
    import mlflow

    def finish(seed: int, auc: float) -> str:
        run_id = tracker.start(study, f"nih/{seed}", f"{seed} {auc}", {}, [])
        version = tracker.finish(run_id, network(seed), f"{study}.nih", f"seed-{seed}", auc, "# A card")
        return str(version.version)

    def best() -> str | None:
        aliases = client.get_registered_model(f"{study}.nih").aliases
        return str(aliases["best"]) if "best" in aliases else None

    finish(0, float("nan"))
    assert best() is None
    first = finish(1, 0.7)
    assert best() == first
    finish(2, 0.6)
    assert best() == first
    third = finish(3, 0.8)
    assert best() == third
    finish(3, 0.5)  # the seed's newer model is worse: its old version is no longer the seed's
    assert best() == first
    assert mlflow.pyfunc.load_model(f"models:/{study}.nih@best").metadata.run_id
    assert client.get_model_version(f"{study}.nih", first).description == "# A card"


@pytest.mark.filterwarnings("ignore")  # threads share the filters, which finish() sets for itself
def test_seeds_that_end_at_once_are_all_registered(tracker, client, study):
    """MLflow's own upsert of an alias and its numbering of versions fail where two do it at the same moment."""
    new_network, n = network(), 8
    run_ids = [tracker.start(study, f"nih/{seed}", f"key {seed}", {}, []) for seed in range(n)]
    gate = threading.Barrier(2)
    real = MlflowClient.set_registered_model_alias

    def in_pairs(self, name, alias, version):
        if alias == "best":
            with contextlib.suppress(threading.BrokenBarrierError):
                gate.wait(0.5)
        real(self, name, alias, version)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(n) as threads:
        patch.setattr(MlflowClient, "set_registered_model_alias", in_pairs)
        futures = [
            threads.submit(tracker.finish, run, new_network, f"{study}.nih", f"seed-{seed}", 0.5 + seed / 100)
            for seed, run in enumerate(run_ids)
        ]
        versions = [future.result().version for future in futures]
    assert sorted(versions) == list(range(1, n + 1))
    assert client.get_model_version_by_alias(f"{study}.nih", "best").version == versions[-1]


def test_pyfunc_maps_an_array_to_an_array(tracker, study):
    import mlflow

    run_id = tracker.start(study, "nih/0", "key", {}, [])
    new_network = network()
    tracker.finish(run_id, new_network, f"{study}.nih", alias="seed-0")
    served = mlflow.pyfunc.load_model(f"models:/{study}.nih@seed-0")
    pixels = np.random.default_rng(0).uniform(-1024, 1024, (3, 1, 16, 16)).astype(np.float32)
    with torch.inference_mode():
        expected = new_network(torch.from_numpy(pixels)).numpy()
    logits = served.predict(pixels)
    assert logits.shape == (3, len(TASKS))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    signature = served.metadata.signature
    assert signature.inputs.inputs[0].shape == (-1, 1, 16, 16)
    assert signature.outputs.inputs[0].shape == (-1, 18)


def test_an_unfinished_run_is_removed_completely_and_others_are_kept(tracker, client, study):
    other = tracker.start(study, "other/0", "another key", {}, [])
    tracker.finish(other, network(), f"{study}.other", alias="seed-0")
    killed = tracker.start(study, "nih/0", "key", {}, [])
    half = tracker.start(study, "nih/0", "key", {}, [])
    assert killed not in {run.info.run_id for run in runs(client, study)}
    tracker.finish(half, network(), f"{study}.nih", alias="seed-0")  # killed before it was recorded
    again = tracker.start(study, "nih/0", "key", {}, [])
    registered = tracker.finish(again, network(1), f"{study}.nih", alias="seed-0")

    assert {run.info.run_id for run in runs(client, study)} == {other, again}
    (version,) = client.search_model_versions(f"name = '{study}.nih'")
    assert (int(version.version), version.run_id) == (registered.version, again)
    assert client.get_model_version_by_alias(f"{study}.nih", "seed-0").run_id == again
    experiment = client.get_experiment_by_name(study).experiment_id
    assert {m.source_run_id for m in client.search_logged_models([experiment])} == {other, again}
    loaded = load(tracker.weights(registered.model, registered.version))
    assert torch.equal(
        loaded.state_dict()["body.classifier.bias"], network(1).state_dict()["body.classifier.bias"]
    )


def test_a_failed_run_records_the_reason(tracker, client, study):
    run_id = tracker.start(study, "nih/0", "key", {}, [])
    tracker.fail(run_id, "LearningError: the loss is not finite")
    run = client.get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["xray.failure"] == "LearningError: the loss is not finite"


def test_a_report_is_kept_once_per_study_and_replaced(tracker: Tracker, client, study, tmp_path):
    for content in ("first", "second"):
        (tmp_path / "report.html").write_text(content)
        tracker.report(study, "report", tmp_path)
    (run,) = runs(client, study)
    assert run.info.status == "FINISHED"
    folder = client.download_artifacts(run.info.run_id, "report", str(tmp_path.parent))
    assert (tmp_path.parent / "report" / "report.html").read_text() == "second", folder


def test_processes_that_log_the_same_new_datasets_at_once_succeed(tracker, client):
    """As after a server's restart, when all of them try again at the same moment."""
    tracker.experiment("races")
    beginning = threading.Barrier(6)

    def begin(number: int) -> list[str]:
        runs = []
        for turn in range(5):
            inputs = [
                Input(f"site-{turn}", f"digest-{turn}-{part}", part, 3) for part in ("train", "validation")
            ]
            beginning.wait(30)
            runs.append(tracker.start("races", f"{number}-{turn}", f"key-{number}-{turn}", {}, inputs))
        return runs

    with ThreadPoolExecutor(6) as threads:
        runs = [run for batch in threads.map(begin, range(6)) for run in batch]
    assert {len(client.get_run(run).inputs.dataset_inputs) for run in runs} == {2}
