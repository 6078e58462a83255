"""MLflow shows where models fail: AUCs of test cohorts at logged models and their datasets, by which they rank."""

import dataclasses
import time

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient

from tests.xray.learning.test_tracking import client, network, study  # noqa: F401  (fixtures)
from xray.learning.network import Network
from xray.learning.tested import ModelAucs
from xray.learning.tracking import NOTE, Input
from xray.learning.tracking_tests import log_tests, metrics_of

COHORTS = (Input("nih", "a" * 64, "test", 100), Input("rsna", "b" * 64, "test", 70))


def aucs_of(name: str, run_id: str | None, foreign: bool, *aucs: float) -> ModelAucs:
    keys = (("nih", "Effusion"), ("nih", "Mass"), ("rsna", "Effusion"), ("rsna", "Lung/Mass"))
    return ModelAucs(name, foreign, run_id, None, COHORTS, dict(zip(keys, aucs, strict=True)))


@pytest.fixture
def three(tracker, study):  # noqa: F811
    """Two models that were trained here, and one of which only scores are here."""
    own = []
    for seed, aucs in ((0, (0.9, 0.1 + 0.2, 0.6, 0.5)), (1, (0.8, 0.7, 0.95, 0.5))):
        run_id = tracker.start(study, f"nih/{seed}", f"{study} {seed}", {}, COHORTS[:0])
        tracker.finish(run_id, network(seed), f"{study}.nih", f"seed-{seed}")
        own.append(aucs_of(f"{study}.nih/{seed + 1}", run_id, False, *aucs))
    return [*own, aucs_of("vendor", None, True, 0.85, 0.2, 0.99, 0.5)]


def ranked(client: MlflowClient, experiment: str, metric: str, dataset: str) -> list[str]:  # noqa: F811
    order = [{"field_name": f"metrics.{metric}", "ascending": False, "dataset_name": dataset}]
    names = {}
    for model in client.search_logged_models([experiment], order_by=order):
        run = client.get_run(model.source_run_id)
        names[run.info.run_name] = None
    return list(names)


def test_models_including_foreign_ones_rank_by_test_set(tracker, client, study, three):  # noqa: F811
    assert log_tests(tracker, study, three) == 3
    experiment = tracker.experiment(study)
    assert ranked(client, experiment, "test_auc/nih/Effusion", "nih") == ["nih/0", "vendor", "nih/1"]
    assert ranked(client, experiment, "test_auc/rsna/Effusion", "rsna") == ["vendor", "nih/1", "nih/0"]
    models = client.search_logged_models(
        [experiment], "metrics.`test_auc/rsna/Effusion` > 0.97", datasets=[{"dataset_name": "rsna"}]
    )
    assert [model.name for model in models] == ["vendor"]
    assert models[0].tags["mlflow.model.isExternal"] == "true"


def test_every_logged_number_is_the_stored_one_of_its_dataset(tracker, client, study, three):  # noqa: F811
    log_tests(tracker, study, three)
    models = {m.source_run_id: m for m in client.search_logged_models([tracker.experiment(study)])}
    for model in three[:2]:
        logged = models[model.run_id]
        expected = {(key, dataset): value for key, dataset, value in metrics_of(model)}
        assert {(m.key, m.dataset_name): m.value for m in logged.metrics} == expected
        digests = {m.dataset_name: m.dataset_digest for m in logged.metrics}
        assert digests == {"nih": "a" * 36, "rsna": "b" * 36}
        run = client.get_run(model.run_id)
        assert run.data.metrics["test_auc/nih/Mass"] == model.auc["nih", "Mass"]
        assert run.data.metrics["test_auc/rsna/Lung_Mass"] == 0.5
        assert (
            run.data.metrics["test_auc/nih"] == (model.auc["nih", "Effusion"] + model.auc["nih", "Mass"]) / 2
        )
        contexts = {i.dataset.name: i.tags[0].value for i in run.inputs.dataset_inputs}
        assert contexts == {"nih": "test", "rsna": "test"}


def test_only_changed_numbers_are_logged_again(tracker, client, study, three):  # noqa: F811
    log_tests(tracker, study, three)
    assert log_tests(tracker, study, three) == 0
    runs = client.search_runs([tracker.experiment(study)])
    assert sorted(run.info.run_name for run in runs) == ["nih/0", "nih/1", "vendor"]
    changed = dataclasses.replace(three[2], auc={**three[2].auc, ("nih", "Effusion"): 0.99})
    time.sleep(0.002)  # the later of two numbers counts, by milliseconds
    assert log_tests(tracker, study, [*three[:2], changed]) == 1
    order = ranked(client, tracker.experiment(study), "test_auc/nih/Effusion", "nih")
    assert order == ["vendor", "nih/0", "nih/1"]


def test_a_run_deleted_in_mlflow_does_not_stop_the_logging(tracker, client, study, three):  # noqa: F811
    client.delete_run(three[0].run_id)
    assert log_tests(tracker, study, three) == 2


def test_a_study_and_its_report_are_described_in_mlflow(tracker, client, study, tmp_path):  # noqa: F811
    tracker.describe(study, "# Does it work?", {"xray.protocol": "corrected"})
    tags = client.get_experiment_by_name(study).tags
    assert (tags[NOTE], tags["xray.protocol"]) == ("# Does it work?", "corrected")
    (tmp_path / "report.html").write_text("page")
    for value in (0.7, 0.8):
        tracker.report(
            study, "report", tmp_path, "It **fails** at rsna.", {"auc_elsewhere": value, "none": float("nan")}
        )
    (run,) = client.search_runs([tracker.experiment(study)])
    assert run.data.metrics == {"auc_elsewhere": 0.8}
    assert run.data.tags[NOTE] == "It **fails** at rsna."


def test_a_short_training_has_one_sample_of_system_metrics(tracker, client, study):  # noqa: F811
    run_id = tracker.start(study, "nih/0", f"{study} 0", {}, [])
    with tracker.system_metrics(run_id):
        pass
    metrics = client.get_run(run_id).data.metrics
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100
    assert metrics["system/system_memory_usage_megabytes"] > 0
    tracker.fail(run_id, "it was only a test")


def test_a_model_of_real_pictures_has_an_example_of_its_input(tracker, client, study):  # noqa: F811
    import mlflow

    run_id = tracker.start(study, "nih/0", f"{study} 0", {}, [])
    torch.manual_seed(0)
    tracker.finish(run_id, Network("small_convnet", 128).eval(), f"{study}.nih", "seed-0")
    served = mlflow.pyfunc.load_model(f"models:/{study}.nih@seed-0")
    assert served.input_example.shape == (1, 1, 128, 128)
    assert np.isfinite(served.predict(served.input_example)).all()
