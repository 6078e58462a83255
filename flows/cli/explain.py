"""`xray explain` and `xray provenance`: where a result comes from, and where a model comes from."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import click

from flows.cli.rows import json_option, print_json

FEW = 6
"""Label rules and calibrations that are printed; --json has all."""


@click.command()
@click.argument("result")
@click.option("--seed", type=int, help="The result of one seed (default: the ensemble of the seeds).")
@click.option("--image", help="Trace the score of this image, too.")
@json_option()
def explain(result: str, seed: int | None, image: str | None, as_json: bool) -> None:
    """Follow RESULT, written STUDY/TRAINED_ON/TEST_DATASET/TASK, back to code, data, configuration, seed and worker.

    For a model from elsewhere: to the file that its scores, or its weights, came in. For example:

    xray explain "phantom/phantom-a/phantom-b/Effusion"
    """
    from flows.platform import storage
    from xray.analyses.explained import explain_result

    with storage() as databases, databases.engine().begin() as connection:
        about = explain_result(connection, result, seed, image)
    if as_json:
        print_json(about)
        return
    click.echo(_head(about))
    if "score" in about:
        click.echo(_score(about))
    click.echo(_labels(about["labels"]))
    for evaluation in about["evaluations"]:
        click.echo(_evaluation(evaluation, about["task"]))


@click.command()
@click.argument("model")
@json_option()
def provenance(model: str, as_json: bool) -> None:
    """Where MODEL comes from: card, weights, training data, who imported it; what it scored, and where it would leak."""
    from flows.platform import storage
    from xray.analyses.explained import explain_model

    with storage() as databases, databases.engine().begin() as connection:
        about = explain_model(connection, model)
    if as_json:
        print_json(about)
        return
    foreign = about["kind"] == "foreign"
    click.echo("\n".join([f"{about['model']}: {_kind(about)}", *(_foreign if foreign else _trained)(about)]))
    click.echo(f"  findings {', '.join(about['tasks'])}")
    for line in [f"would leak: {leak}" for leak in about["leaks"]]:
        click.echo(f"  {line}")
    if about["unregistered"]:
        names = ", ".join(about["unregistered"])
        click.echo(f"  not registered here, so overlap with them can't be counted: {names}")
    elif not about["leaks"]:
        click.echo(_no_leak(about))
    for line in _calibrations(about["calibrations"]):
        click.echo(f"  {line}")
    for evaluation in about["evaluations"]:
        head = f"\nevaluation {evaluation['evaluation_id']}: {', '.join(evaluation['test_datasets'])}"
        click.echo("\n".join([head, *_scored(evaluation, None)]))


def _no_leak(about: Mapping[str, Any]) -> str:
    if about["kind"] == "foreign" and about["said_trained_on"] is None:
        return "  would leak: unknown, as its training data are unknown (--trained-on)"
    return "  would leak: nowhere; no test cohort shares an image or a patient with its training data"


def _head(about: dict[str, Any]) -> str:
    foreign = about["evaluations"][0]["kind"] == "foreign"
    scorer = "ensemble" if about["seed"] is None else f"seed {about['seed']}"
    scorer = "a model from elsewhere" if foreign else scorer
    value = "undefined" if about["auc"] is None else f"{about['auc']:.4f}"
    interval = "" if about["lower"] is None else f" ({about['lower']:.4f} to {about['upper']:.4f})"
    by = about["computed_by"] or {}
    by_whom = _by(by.get("commit"), by.get("worker") or by.get("host"), by.get("flow_run"))
    point = about["operating_point"]
    return "\n".join(
        [
            f"{about['study']}: {about['trained_on']} on {about['test_dataset']}, {about['task']}, {scorer}",
            f"  AUC {value}{interval}, {about['n']} images, {about['n_pos']} positive",
            f"  {about['method']}",
            f"  computed {_minute(about['computed_at'])}{by_whom}",
            *([f"  warning: {about['warning']}"] if about["warning"] else []),
            *([f"  operating point {_point(point)}, declared by its maker"] if point else []),
            *(f"  {line}" for line in _calibrations(about["calibrations"])),
            *(f"  {line}" for line in _interventions(about["interventions"])),
        ]
    )


def _interventions(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What the model lost on other images that were made to look like these."""
    from xray.report.interventions import sentence

    return [sentence(row) for row in rows]


def _point(point: Mapping[str, Any]) -> str:
    return f"{point['threshold']:g} ({point['kind']}; logit {point['logit']:.4f})"


def _score(about: Mapping[str, Any]) -> str:
    """One image's score, and the label beside it."""
    score, scores = about["score"], about["evaluations"][0]["scores"]
    patient = f"patient {score['patient']}" if score["patient"] else "patient unknown"
    facts = ", ".join(str(score[key]) for key in ("view", "age", "sex") if score[key] is not None)
    if score["logit"] is None:
        value = "not scored"
    else:
        original = f"; {score['as_given']:.6g} as {scores['kind']}" if scores else ""
        value = f"logit {score['logit']:.6g}, probability {score['probability']:.6g}{original}"
        if score["called_positive"] is not None:
            value += f"; {'positive' if score['called_positive'] else 'negative'} at the operating point"
    label = score["label"]
    meaning = {1: "positive", 0: "negative", None: "missing"}[label.get("label")]
    cell = f"; {label['column']} {label['value']!r}" if label.get("column") else ""
    return "\n".join(
        [
            f"\nimage {score['image']} of {score['site']}, {patient}{', ' + facts if facts else ''}",
            f"  number {score['position']} of the list; content {score['content_hash'] or 'not known'}",
            f"  {value}",
            f"  label {meaning} ({label.get('state')}{cell}: {label.get('rule')})",
        ]
    )


def _labels(labels: Mapping[str, Any]) -> str:
    """Whose labels they are, and how they became 1, 0 or missing."""
    states = ", ".join(f"{n} {state}" for state, n in sorted((labels["states"] or {}).items()))
    rules = labels["rules"] or []
    lines = [f"  rule {r['native_column']}: {r['term']} → {r['rule']} ({r['source']})" for r in rules[:FEW]]
    more = [f"  … and {len(rules) - FEW} more rules (--json)"] if len(rules) > FEW else []
    rule = "as the label file's own column says" if not rules else f"rule set {labels['label_rules']}"
    if labels["reader_rule"]:
        rule = f"of several readers, by the rule {labels['reader_rule']}"
    return "\n".join(
        [
            f"\nlabels of {labels['dataset']} ({labels['source']}, site {labels['site']}), protocol {labels['protocol']}",
            f"  cohort {labels['n_images']} images: {labels['positive']} positive, {labels['negative']} negative, "
            f"{labels['unlabelled']} without a label  {labels['cohort_hash']}",
            f"  {rule}; uncertain labels are {labels['uncertain']}; the dataset has {states or 'no label of it'}",
            *lines,
            *more,
            f"  registered {_minute(labels['registered_at'])}, content {labels['labels_hash']}",
        ]
    )


def _calibrations(calibrations: list[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"calibration {c['task']} version {c['calibration']} ({c['model']}): {c['method']}, fitted on {c['fitted_on']}, "
        f"{c['n']} images, {c['n_pos']} positive, {_minute(c['fitted_at'])}"
        for c in calibrations
    ]
    more = [f"… and {len(lines) - FEW} more calibrations (--json)"] if len(lines) > FEW else []
    return lines[:FEW] + more


def _evaluation(evaluation: Mapping[str, Any], task: str) -> str:
    foreign = evaluation["kind"] == "foreign"
    name = _kind(evaluation) if foreign else f"seed {evaluation['seed']}"
    model = _foreign(evaluation) if foreign else _trained(evaluation)
    return "\n".join(
        [
            f"\nevaluation {evaluation['evaluation_id']}: {evaluation['model']}, {name}",
            *_scored(evaluation, task),
            *model,
        ]
    )


def _kind(about: Mapping[str, Any]) -> str:
    if about["kind"] != "foreign":
        return f"trained here on {about['trained_on']}, seed {about['seed']}"
    return f"from elsewhere ({about['network'] or 'only its scores are here'})"


def _scored(evaluation: Mapping[str, Any], task: str | None) -> list[str]:
    """When, how and by whom images were scored. task: whose name in the file is told, None for every one's."""
    images = f"  images {', '.join(evaluation['test_datasets'])}, {evaluation['n_images']}  {evaluation['image_list_hash']}"
    scores = evaluation["scores"]
    by = _by(
        evaluation["scored_commit"],
        evaluation["scored_worker"],
        evaluation["scored_flow_run"],
        evaluation["scored_by"],
    )
    if scores is None:
        lines = [f"  scored {_minute(evaluation['completed_at'])}{by}"]
        if evaluation["scored_versions"] is None:
            lines.append("  versions not on record: it was scored, or imported, before xray recorded them")
        return [*lines, images]
    names = scores["names"]
    spellings = {task: names[task]} if task in names else names
    return [
        f"  imported {_minute(evaluation['completed_at'])}{by}",
        *([f"  by {evaluation['scored_command']}"] if evaluation["scored_command"] else []),
        f"  file {scores['file']}  sha256 {scores['sha256']}",
        *([f"  rows of {scores['from_model']} in it"] if scores.get("from_model") else []),
        f"  scores are {scores['kind']}: {scores['conversion']}",
        *(f"  {finding} is its {name['name']!r} ({name['by']})" for finding, name in spellings.items()),
        images,
    ]


def _foreign(about: Mapping[str, Any]) -> list[str]:
    card = about["card"] or {}
    hidden = {"kind", "sha256", "trusted", "format", "operating_points", "citation", "note", "tasks", "size"}
    details = ", ".join(f"{key} {_plain(value)}" for key, value in card.items() if key not in hidden)
    trained = ", ".join(about["said_trained_on"]) if about["said_trained_on"] else "unknown"
    by = _by(about["model_commit"], about["model_worker"], None, about["imported_by"])
    points = (card.get("operating_points") or {}).items()
    file = []
    if about["network"]:
        source = f"  file {about['model_file']}  sha256 {about['model_file_sha256']}"
        file = [
            *([source] if about["model_file"] else []),
            f"  kept as {about['network']}  sha256 {about['weights_sha256']}",
            f"  MLflow model {about['mlflow_model']} version {about['mlflow_version']}, run {about['mlflow_run_id']}",
            f"  card: {about['image_size']} pixels, {details}",
        ]
    return [
        f"  first imported {_minute(about['imported_at'])}{by}",
        *([f"  by {about['import_command']}"] if about["import_command"] else []),
        *file,
        *(f"  {key}: {card[key]}" for key in ("citation", "note") if card.get(key)),
        f"  said to be trained on {trained}",
        *(f"  operating point of {task}: {point['threshold']:g} ({point['kind']})" for task, point in points),
    ]


def _plain(value: Any) -> str:
    return " to ".join(f"{number:g}" for number in value) if isinstance(value, list) else str(value)


def _trained(about: Mapping[str, Any]) -> list[str]:
    recipe = ", ".join(f"{key} {value}" for key, value in about["recipe"].items() if key != "augmentation")
    versions = ", ".join(f"{key} {value}" for key, value in (about["model_versions"] or {}).items())
    trained = _by(about["model_commit"], about["model_worker"], about["model_flow_run"])
    cohorts = [f"      {name}  {digest}" for name, digest in sorted(about["training_cohorts"].items())]
    return [
        f"  trained {_minute(about['trained_at'])}{trained}",
        f"  model key {about['model_key']}, MLflow run {about['mlflow_run_id']}",
        *([f"  weights sha256 {about['weights_sha256']}"] if about["weights_sha256"] else []),
        f"  protocol {about['protocol']}; {recipe}",
        "  trained and selected on",
        *cohorts,
        f"  versions {versions}",
    ]


def _minute(moment: Any) -> str:
    """A time of the database, or one that JSON made text, to the minute."""
    if moment is None:
        return "at a time not on record"
    return f"{dt.datetime.fromisoformat(str(moment)).astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _by(commit: str | None, worker: str | None, flow_run: str | None, user: str | None = None) -> str:
    words = [
        f"commit {commit}" if commit else "",
        f"by {user}" if user else "",
        f"on {worker}" if worker else "",
        f"in flow run {flow_run}" if flow_run else "",
    ]
    return ", " + ", ".join(word for word in words if word) if any(words) else ""
