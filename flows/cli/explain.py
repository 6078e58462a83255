"""`xray explain`: where a result comes from."""

from typing import Any

import click

from flows.cli.rows import json_option, print_json


@click.command()
@click.argument("result")
@click.option("--seed", type=int, help="The result of one seed (default: the ensemble of the seeds).")
@json_option()
def explain(result: str, seed: int | None, as_json: bool) -> None:
    """Follow RESULT, written STUDY/TRAINED_ON/TEST_DATASET/TASK, back to code, data, configuration, seed and worker.

    For example: xray explain "phantom/phantom-a/phantom-b/Effusion"
    """
    from flows.platform import storage
    from xray.analyses.explained import explain_result

    with storage() as found, found.engine().begin() as connection:
        about = explain_result(connection, result, seed)
    if as_json:
        print_json(about)
        return
    click.echo(_head(about))
    for each in about["evaluations"]:
        click.echo(_evaluation(each))


def _head(about: dict[str, Any]) -> str:
    which = "ensemble" if about["seed"] is None else f"seed {about['seed']}"
    value = "undefined" if about["auc"] is None else f"{about['auc']:.4f}"
    interval = "" if about["lower"] is None else f" ({about['lower']:.4f} to {about['upper']:.4f})"
    by = about["computed_by"] or {}
    by_whom = _by(by.get("commit"), by.get("worker") or by.get("host"), by.get("flow_run"))
    return "\n".join(
        [
            f"{about['study']}: {about['trained_on']} on {about['test_dataset']}, {about['task']}, {which}",
            f"  AUC {value}{interval}, {about['n']} images, {about['n_pos']} positive",
            f"  {about['method']}",
            f"  computed {about['computed_at']:%Y-%m-%d %H:%M} UTC{by_whom}",
        ]
    )


def _evaluation(each: dict[str, Any]) -> str:
    recipe = ", ".join(f"{key} {value}" for key, value in each["recipe"].items() if key != "augmentation")
    versions = ", ".join(f"{key} {value}" for key, value in (each["model_versions"] or {}).items())
    trained = _by(each["model_commit"], each["model_worker"], each["model_flow_run"])
    scored = _by(each["scored_commit"], each["scored_worker"], each["scored_flow_run"])
    cohorts = "\n".join(
        f"      {name}  {digest}" for name, digest in sorted(each["training_cohorts"].items())
    )
    return "\n".join(
        [
            f"\nevaluation {each['evaluation_id']}: {each['model']}, seed {each['seed']}",
            f"  scored {each['completed_at']}{scored}",
            f"  images {', '.join(each['test_datasets'])}, {each['n_images']}  {each['image_list_hash']}",
            f"  trained {each['trained_at']}{trained}",
            f"  model key {each['model_key']}, MLflow run {each['mlflow_run_id']}",
            f"  protocol {each['protocol']}; {recipe}",
            f"  trained and selected on\n{cohorts}",
            f"  versions {versions}",
        ]
    )


def _by(commit: str | None, worker: str | None, flow_run: str | None) -> str:
    said = [
        f"commit {commit}" if commit else "",
        f"on {worker}" if worker else "",
        f"in flow run {flow_run}" if flow_run else "",
    ]
    return ", " + ", ".join(each for each in said if each) if any(said) else ""
