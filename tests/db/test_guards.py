"""What the database itself refuses, whoever asks: raw SQL and every guard."""

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

EFFUSION, PNEUMONIA = 7, 8


def run(engine: Engine, *statements: str, **parameters: Any) -> None:
    """Statements in one transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), parameters)


def refused(engine: Engine, reason: str, *statements: str, **parameters: Any) -> None:
    """The statements must fail by a guard that says `reason`."""
    with pytest.raises(IntegrityError, match=reason):
        run(engine, *statements, **parameters)


def allowed(engine: Engine, *statements: str, **parameters: Any) -> dict[str, Any]:
    """What there would be after the statements, which no guard refuses, not even at commit; they are rolled back."""
    with engine.connect() as connection:
        for statement in (*statements, "set constraints all immediate"):
            connection.execute(text(statement), parameters)
        return contents(connection)


@pytest.fixture(scope="module")
def engine(shared_rows: Any) -> Engine:
    return shared_rows.engine


@pytest.fixture(scope="module")
def scored(shared_rows: Any) -> dict[str, int]:
    """Three images, a dataset with labels, a test cohort, a model with one trained output and its evaluation."""
    rows = shared_rows
    site = rows.site()
    ids = rows.images(site, ["a", "b", "c"])
    rows.images(rows.site("other"), ["free", "also free"])
    listed = rows.image_list(ids)
    dataset = rows.dataset("nih", site, listed)
    rows.add("label", dataset_id=dataset, task_id=EFFUSION, states=[1, -2, -1])
    protocol = rows.protocol()
    cohort = rows.cohort(dataset, protocol, listed, {EFFUSION: [1, None, 0]})
    model = rows.model(protocol, [EFFUSION], [cohort])
    evaluation = rows.evaluation(model, listed, {EFFUSION: [0.5, 1.5, -2.0]})
    return {
        "image": ids[0],
        "image_list": listed,
        "dataset": dataset,
        "cohort": cohort,
        "model": model,
        "evaluation": evaluation,
        "protocol": protocol,
    }


@pytest.mark.parametrize(
    ("length", "images", "reason"),
    [
        (2, "array[:image, :image + 1000]", "holds an image that does not exist"),
        (2, "array[:image, null]", "holds an image that does not exist"),
        (3, "array[:image]", "ck_image_list_length"),
        (0, "array[]::integer[]", "ck_image_list_not_empty"),
    ],
)
def test_a_wrong_image_list_is_refused(
    engine: Engine, scored: dict[str, int], length: int, images: str, reason: str
) -> None:
    statement = f"insert into image_list (content_hash, length, image_ids) values ('new', {length}, {images})"
    refused(engine, reason, statement, image=scored["image"])


@pytest.mark.parametrize(
    ("states", "terms", "reason"),
    [
        ("{1,0}", None, "2 states, no terms for the 3 images of dataset"),
        ("{1,0,1,0}", None, "4 states, no terms for the 3 images of dataset"),
        ("{}", None, "0 states"),
        ("{1,0,1}", "{7,7}", "3 states, 2 terms for the 3 images"),
        ("{1,0,2}", None, "none of 1, 0, -1, -2"),
        ("{-3,0,1}", None, "none of 1, 0, -1, -2"),
        ("{1,0,NULL}", None, "none of 1, 0, -1, -2"),
    ],
)
def test_a_wrong_label_vector_is_refused(
    engine: Engine, scored: dict[str, int], states: str, terms: str | None, reason: str
) -> None:
    parameters = {"dataset": scored["dataset"], "states": states, "terms": terms}
    insert = "insert into label values (:dataset, 8, cast(:states as smallint[]), cast(:terms as integer[]))"
    refused(engine, reason, insert, **parameters)
    update = (
        "update label set states = cast(:states as smallint[]), term_ids = cast(:terms as integer[])"
        " where dataset_id = :dataset"
    )
    refused(engine, reason, update, **parameters)


@pytest.mark.parametrize(
    ("labels", "n_pos", "n_neg", "reason"),
    [
        ("{1,0}", 1, 1, "2 labels for the 3 images of cohort"),
        ("{1,0,1,0}", 2, 2, "4 labels for the 3 images of cohort"),
        ("{1,0,1}", 1, 1, "counts or values"),
        ("{1,0,1}", 2, 0, "counts or values"),
        ("{1,0,NULL}", 1, 2, "counts or values"),
        ("{1,0,2}", 1, 1, "counts or values"),
        ("{1,0,-1}", 1, 1, "counts or values"),
    ],
)
def test_a_wrong_cohort_label_vector_is_refused(
    engine: Engine, scored: dict[str, int], labels: str, n_pos: int, n_neg: int, reason: str
) -> None:
    statement = "insert into cohort_label values (:cohort, 8, cast(:labels as smallint[]), :n_pos, :n_neg)"
    refused(engine, reason, statement, cohort=scored["cohort"], labels=labels, n_pos=n_pos, n_neg=n_neg)


@pytest.mark.parametrize("logits", ["{1,2}", "{1,2,3,4}", "{}"])
def test_a_prediction_vector_of_another_length_is_refused(
    engine: Engine, scored: dict[str, int], logits: str
) -> None:
    statement = "insert into prediction values (:evaluation, 8, 0, cast(:logits as real[]))"
    refused(engine, r"\d logits for the 3 images", statement, evaluation=scored["evaluation"], logits=logits)


@pytest.mark.parametrize(
    "statement",
    [
        "update image_list set content_hash = 'other'",
        "update image_list set image_ids = image_ids[2:] || image_ids[1]",
        "delete from image_list",
        "truncate image_list cascade",
        "update cohort set part = 'train'",
        "delete from cohort",
        "truncate cohort cascade",
        "update cohort_label set labels = '{0,null,1}'",
        "delete from cohort_label",
        "truncate cohort_label",
        "update prediction set piece = 1",
        "update prediction set logits = '{3,2,1}'",
        "truncate prediction",
        "truncate evaluation cascade",
        "update evaluation set image_list_id = image_list_id",
        "update evaluation set model_id = model_id",
        "update dataset set image_list_id = image_list_id",
        "update image set name = 'z' || name",
        "truncate image cascade",
    ],
)
def test_frozen_rows_refuse_every_change(engine: Engine, scored: dict[str, int], statement: str) -> None:
    before = allowed(engine)
    refused(engine, "rows are frozen: (update|delete|truncate) is refused", statement)
    assert allowed(engine) == before


def test_paths_ages_and_labels_may_be_changed(engine: Engine, scored: dict[str, int]) -> None:
    allowed(
        engine,
        "update image set path = '/new', age = 61, patient = 'p'",
        "update evaluation set seconds = 3",
        "update label set states = '{0,-1,-2}', term_ids = '{1,null,null}'",
    )


def test_an_image_of_a_list_cannot_be_deleted(engine: Engine, scored: dict[str, int]) -> None:
    one = "delete from image where id = :image"
    refused(engine, "image a: an image list holds it", one, image=scored["image"])
    refused(engine, "an image list holds it", "delete from image")
    assert allowed(engine, "delete from image where name like '%free'")["image"] == 3


def test_a_prediction_cannot_be_deleted_alone(engine: Engine, scored: dict[str, int]) -> None:
    for statement in ("delete from prediction", "delete from prediction where task_id = 7"):
        refused(engine, r"evaluation \d+ would no longer be complete: delete the evaluation", statement)
    assert allowed(engine)["prediction"] == 1


def test_deleting_an_evaluation_deletes_its_predictions(engine: Engine, scored: dict[str, int]) -> None:
    counts = allowed(engine, "delete from evaluation where id = :evaluation", evaluation=scored["evaluation"])
    assert (counts["evaluation"], counts["prediction"]) == (0, 0)
    counts = allowed(engine, "delete from model where id = :model", model=scored["model"])
    assert (counts["evaluation"], counts["prediction"]) == (0, 0)


@pytest.mark.parametrize(
    ("tasks", "missing"),
    [
        ({}, "Effusion, Pneumonia"),
        ({7: "{1,2,3}"}, "Pneumonia"),
        ({7: "{1,2,3}", 9: "{1,2,3}"}, "Pneumonia"),
    ],
)
def test_an_evaluation_must_be_complete_at_commit(
    engine: Engine, shared_rows: Any, scored: dict[str, int], tasks: dict[int, str], missing: str
) -> None:
    model = shared_rows.model(scored["protocol"], [EFFUSION, PNEUMONIA], seed=1)
    before = allowed(engine)
    connection = engine.connect()
    with connection:
        evaluation_id = connection.scalar(
            text("insert into evaluation (model_id, image_list_id) values (:model, :listed) returning id"),
            {"model": model, "listed": scored["image_list"]},
        )
        for task, logits in tasks.items():
            values = {"made": evaluation_id, "task": task, "logits": logits}
            connection.execute(
                text("insert into prediction values (:made, :task, 0, cast(:logits as real[]))"), values
            )
        with pytest.raises(IntegrityError, match=f"not complete: no scores for {missing}"):
            connection.commit()
    assert allowed(engine) == before


def test_an_evaluation_deleted_in_its_own_transaction_need_not_be_complete(
    engine: Engine, shared_rows: Any, scored: dict[str, int]
) -> None:
    model = shared_rows.model(scored["protocol"], [EFFUSION], seed=1)
    insert = "insert into evaluation (model_id, image_list_id) values (:model, :listed)"
    delete = "delete from evaluation where model_id = :model"
    counts = allowed(engine, insert, delete, model=model, listed=scored["image_list"])
    assert counts["evaluation"] == 1


def test_a_second_evaluation_of_a_model_and_list_is_refused(engine: Engine, scored: dict[str, int]) -> None:
    refused(
        engine,
        "uq_evaluation_model_id_image_list_id",
        "insert into evaluation (model_id, image_list_id) select model_id, image_list_id from evaluation",
    )


def test_a_second_cohort_of_a_dataset_protocol_and_part_is_refused(
    engine: Engine, scored: dict[str, int]
) -> None:
    again = (
        "insert into cohort (dataset_id, protocol_id, part, image_list_id, content_hash)"
        " select dataset_id, protocol_id, {}, image_list_id, content_hash from cohort"
    )
    refused(engine, "uq_cohort_dataset_id_protocol_id_part", again.format("part"))
    refused(engine, "ck_cohort_part", again.format("'tests'"))


@pytest.mark.parametrize("table", ["label", "cohort_label", "prediction"])
def test_a_vector_without_an_owner_is_refused(engine: Engine, scored: dict[str, int], table: str) -> None:
    """A vector whose owner does not exist is refused by its foreign key."""
    more = {"label": "'{1}'", "cohort_label": "'{1}', 1, 0", "prediction": "0, '{1}'"}[table]
    with pytest.raises(DBAPIError, match=f"fk_{table}_"):
        run(engine, f"insert into {table} values (999, 8, {more})")


def contents(connection: Connection) -> dict[str, Any]:
    """How much there is, and a digest of what must not change."""
    counts = {
        table: connection.scalar(text(f"select count(*) from {table}"))
        for table in ("image", "image_list", "cohort", "cohort_label", "evaluation", "prediction")
    }
    digest = connection.scalar(
        text(
            "select md5(concat((select string_agg(image_list::text, '') from image_list),"
            " (select string_agg(cohort::text, '') from cohort),"
            " (select string_agg(cohort_label::text, '') from cohort_label),"
            " (select string_agg(prediction::text, '' order by task_id) from prediction)))"
        )
    )
    return {**counts, "digest": digest}


def test_an_intervention_has_a_score_for_each_image_and_is_never_changed(
    engine: Engine, scored: dict[str, int]
) -> None:
    """Scores of every finding of the evaluation, as many as images; a file may have fewer findings."""
    intervention_id = (
        "insert into intervention_evaluation (id, evaluation_id, target_list_id, kind, changes, seed, version, pictures)"
        " values (9, :evaluation, :image_list, '{}', '{{}}', 0, 1, 'p')"
    )
    score = "insert into intervention_score values (9, {}, '{{{}}}')"
    whole, other = score.format(EFFUSION, "1,2,3"), score.format(PNEUMONIA, "1,2,3")
    refused(engine, "is not complete", intervention_id.format("all"), **scored)
    refused(engine, "is not complete", intervention_id.format("all"), other, **scored)
    refused(engine, "is not complete", intervention_id.format("pipeline"), **scored)
    refused(
        engine,
        "2 logits for the 3 images",
        intervention_id.format("all"),
        score.format(EFFUSION, "1,2"),
        **scored,
    )
    refused(engine, "ck_intervention_evaluation_kind", intervention_id.format("colour"), **scored)
    allowed(engine, intervention_id.format("all"), whole, **scored)
    allowed(engine, intervention_id.format("pipeline"), other, **scored)
    for statement in (
        "update intervention_score set logits = logits",
        "update intervention_evaluation set seed = 1",
    ):
        with pytest.raises(DBAPIError, match="rows are frozen"):
            allowed(engine, intervention_id.format("all"), whole, statement, **scored)
