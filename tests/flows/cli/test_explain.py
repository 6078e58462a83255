"""`xray explain`: a stored AUC followed to what it comes from."""

import json


def test_a_result_is_followed_to_code_data_and_configuration(tiny, call):
    code, out, err = call("explain", "tiny/tiny-a/tiny-d/Cardiomegaly", "--json")
    assert code in (0, None), err
    about = json.loads(out)
    (stored,) = tiny.ask(
        "select auc, evaluation_ids from auc_results where trained_on = 'tiny-a' and test_dataset = 'tiny-d'"
        " and task = 'Cardiomegaly' and seed is null"
    ).itertuples()
    assert about["auc"] == stored.auc
    (evaluation,) = about["evaluations"]
    assert [evaluation["evaluation_id"]] == stored.evaluation_ids
    hashes = tiny.ask(
        "select dataset.name || '/' || part as name, cohort.content_hash from cohort"
        " join dataset on dataset.id = dataset_id where dataset.name = 'tiny-a' and part <> 'test'"
    )
    assert evaluation["training_cohorts"] == dict(hashes.itertuples(index=False, name=None))
    (model,) = tiny.ask("select key, mlflow_run_id, seed from model where trained_on = 'tiny-a'").itertuples()
    assert (evaluation["model_key"], evaluation["mlflow_run_id"]) == (model.key, model.mlflow_run_id)
    assert evaluation["recipe"]["epochs"] == 2
    assert "torch" in evaluation["model_versions"]
    assert "torch" in evaluation["scored_versions"]
    assert about["computed_by"]["xray"]
    # and back: the flow run that wrote it is one of Prefect's, and MLflow's run names it
    runs = tiny.ask("select id::text as id from flow_run", "prefect")["id"].tolist()
    assert evaluation["model_flow_run"] in runs
    assert evaluation["scored_flow_run"] in runs
    tags = tiny.ask(
        "select value from tags where key = 'xray.flow_run' and run_uuid = :run",
        "mlflow",
        run=model.mlflow_run_id,
    )
    assert tags["value"].tolist() == [evaluation["model_flow_run"]]


def test_a_result_is_explained_in_words(tiny, call):
    code, out, err = call("explain", "tiny/all/tiny-d/Cardiomegaly", "--seed", "0")
    assert code in (0, None), err
    assert out.startswith("tiny: all on tiny-d, Cardiomegaly, seed 0\n  AUC ")
    for phrase in (
        "model key ",
        "MLflow run ",
        "tiny-a/train  ",
        "protocol corrected",
        "versions ",
        "in flow run ",
    ):
        assert phrase in out


def test_an_unknown_result_is_refused(tiny, call):
    code, _, err = call("explain", "tiny/all/tiny-d/Nothing")
    assert code == 1
    assert (
        "tiny/all/tiny-d/Nothing: no AUC of the ensemble is stored; the view auc_results shows what is" in err
    )
    code, _, err = call("explain", "Cardiomegaly")
    assert "expected STUDY/TRAINED_ON/TEST_DATASET/TASK" in err
