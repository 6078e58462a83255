"""After a study MLflow shows where its models fail, in the same numbers as the database."""

import pytest


def test_mlflow_has_every_auc_of_the_view(tiny):
    stored = tiny.ask(
        "select m.mlflow_run_id as run_id, r.test_dataset as dataset, r.task, r.auc from auc_results r"
        " join model m on m.trained_on = r.trained_on and m.seed = r.seed where r.auc is not null"
    )
    logged = tiny.ask(
        "select run_id, dataset_name as dataset, split_part(metric_name, '/', 3) as task, metric_value as auc"
        " from logged_model_metrics where metric_name like 'test_auc/%/%'",
        "mlflow",
    )
    columns = ["run_id", "dataset", "task", "auc"]
    rows = [sorted(frame[columns].itertuples(index=False, name=None)) for frame in (stored, logged)]
    assert rows[0] == rows[1], "to the last bit, each once"
    assert len(rows[0]) > 0
    means = tiny.ask(
        "select run_id, dataset_name as dataset, metric_value as auc from logged_model_metrics"
        " where metric_name = 'test_auc/' || dataset_name",
        "mlflow",
    ).set_index(["run_id", "dataset"])["auc"]
    assert means.to_dict() == pytest.approx(stored.groupby(["run_id", "dataset"])["auc"].mean().to_dict())


def test_experiment_report_and_trainings_are_described_in_mlflow(tiny):
    notes = tiny.ask(
        "select t.key, t.value from experiment_tags t join experiments using (experiment_id) where name = 'tiny'",
        "mlflow",
    )
    tags = dict(notes.itertuples(index=False, name=None))
    assert tags["mlflow.note.content"].startswith("# Two small synthetic hospitals\n")
    assert (tags["xray.protocol"], tags["xray.datasets"]) == ("corrected", "tiny-a, tiny-d")
    of_report = "run_uuid in (select run_uuid from tags where key = 'xray.report')"
    report = tiny.ask(f"select value from tags where key = 'mlflow.note.content' and {of_report}", "mlflow")
    assert report["value"][0].startswith("# Two small synthetic hospitals\n")
    headline = tiny.ask(f"select key, value from latest_metrics where {of_report}", "mlflow")
    numbers = dict(headline.itertuples(index=False, name=None))
    aucs = tiny.ask("select trained_on = test_dataset as home, auc from auc_results where seed is null")
    for key, home in (("auc_at_home", True), ("auc_elsewhere", False)):
        assert numbers[key] == pytest.approx(aucs.loc[aucs["home"] == home, "auc"].mean())
    assert {"cells_work", "cells_fail", "cells_unclear"} < set(numbers)
    measured = tiny.ask(
        "select count(distinct run_uuid) as n from metrics where key = 'system/cpu_utilization_percentage'",
        "mlflow",
    )
    assert measured["n"][0] == tiny.ask("select count(*) as n from model")["n"][0]
