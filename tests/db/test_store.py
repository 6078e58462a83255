"""The store: image lists, cohorts and evaluations, through the real database."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from db.errors import StoreError
from db.schema import PIECE
from db.store import (
    image_ids,
    list_hash,
    put_image_list,
    read_cohort,
    read_features,
    read_logits,
    write_classifier,
    write_evaluation,
    write_features,
)

N_TASKS = 18
EFFUSION, PNEUMONIA = 7, 8


def scores(n_images: int, tasks: list[int], seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Logits (n_images, 18) and which outputs are trained (18,)."""
    logits = np.random.default_rng(seed).normal(size=(n_images, N_TASKS)).astype(np.float32)
    return logits, np.isin(np.arange(N_TASKS), tasks)


def outputs(trained):
    """The task of each output, None for one that was never trained."""
    return [task if is_trained else None for task, is_trained in enumerate(trained.tolist())]


@pytest.fixture
def three(rows: Any) -> dict[str, int]:
    """Three images of a site in a list, and a model for two tasks."""
    ids = rows.images(rows.site(), ["c", "a", "b"])
    listed = rows.image_list(ids)
    model = rows.model(rows.protocol(), [EFFUSION, PNEUMONIA])
    return {"image_list": listed, "model": model}


def test_list_hash_depends_on_names_and_order() -> None:
    base = list_hash(["nih/1", "nih/2"])
    assert base == list_hash(("nih/1", "nih/2"))
    others = [
        ["nih/2", "nih/1"],
        ["nih/1"],
        ["nih/1", "nih/2", "nih/2"],
        ["nih/1nih/2"],
        ["nih/1", "chexpert/2"],
        [],
    ]
    assert len({base, *map(list_hash, others)}) == 1 + len(others)


def test_image_list_is_kept_in_order_and_stored_once(engine: Engine, rows: Any) -> None:
    ids = np.array(rows.images(rows.site(), [f"{i}" for i in range(20)]), dtype=np.int32)
    shuffled = np.random.default_rng(0).permutation(ids)
    with engine.begin() as connection:
        first = put_image_list(connection, "one", shuffled)
        assert put_image_list(connection, "one", shuffled) == first
        assert put_image_list(connection, "two", shuffled[:1]) != first
        np.testing.assert_array_equal(image_ids(connection, first), shuffled)


def test_two_writers_of_an_image_list_at_once_store_one(engine: Engine, rows: Any) -> None:
    ids = np.array(rows.images(rows.site(), ["a", "b"]), dtype=np.int32)
    ids_of_lists: list[int] = []

    def store() -> None:
        with engine.begin() as connection:
            ids_of_lists.append(put_image_list(connection, "same", ids))

    with engine.begin() as connection:
        list_id = put_image_list(connection, "same", ids)
        other = threading.Thread(target=store)
        other.start()
        wait_for_lock(engine)
    other.join(20)
    assert ids_of_lists == [list_id]


def test_a_cohort_has_its_patients_and_labels_in_the_order_of_its_images(engine: Engine, rows: Any) -> None:
    """Same patient name at one site is one patient, at two sites two; an unknown patient is nobody else."""
    first, second = rows.site("here"), rows.site("there")
    a = rows.images(first, ["1", "2", "3", "4", "5"], ["p", "q", "p", None, None])
    b = rows.images(second, ["1", "2", "3"], ["p", None, "i" + str(a[3])])
    order = [b[0], a[2], a[3], a[0], b[1], a[1], b[2], a[4]]
    listed = rows.image_list(order)
    labels = {EFFUSION: [1, 0, None, 1, None, 0, 0, 1], PNEUMONIA: [None] * 7 + [1]}
    cohort_id = rows.cohort(rows.dataset("nih", first, listed), rows.protocol(), listed, labels)
    with engine.begin() as connection:
        cohort = read_cohort(connection, cohort_id, range(N_TASKS))
    assert (cohort.id, cohort.image_list_id) == (cohort_id, listed)
    assert cohort.images.tolist() == order
    assert cohort.images.dtype == np.int32
    codes = cohort.patients
    assert codes.dtype == np.int64
    assert codes[1] == codes[3]
    assert len(set(codes.tolist())) == 7
    assert cohort.labels.shape == (8, N_TASKS)
    assert cohort.labels.dtype == np.float32
    nan = np.nan
    np.testing.assert_array_equal(cohort.labels[:, EFFUSION], np.float32([1, 0, nan, 1, nan, 0, 0, 1]))
    np.testing.assert_array_equal(cohort.labels[:, PNEUMONIA], np.float32([nan] * 7 + [1]))
    others = np.delete(cohort.labels, [EFFUSION, PNEUMONIA], axis=1)
    assert np.isnan(others).all()


def test_a_missing_row_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(StoreError, match="no image list 41"):
            image_ids(connection, 41)
        with pytest.raises(StoreError, match="no cohort 42"):
            read_cohort(connection, 42, range(N_TASKS))
        with pytest.raises(StoreError, match="no evaluation 43"):
            read_logits(connection, 43, range(N_TASKS))


def test_logits_are_read_back_unchanged(engine: Engine, three: dict[str, int]) -> None:
    logits, trained = scores(3, [EFFUSION, PNEUMONIA])
    logits[1, EFFUSION] = np.nan
    logits[2, EFFUSION] = -np.inf
    with engine.begin() as connection:
        evaluation_id = write_evaluation(
            connection, three["model"], three["image_list"], logits, outputs(trained), seconds=2.5
        )
        assert evaluation_id is not None
    with engine.begin() as connection:
        logits_read = read_logits(connection, evaluation_id, range(N_TASKS))
        stored = connection.execute(text("select seconds, completed_at from evaluation")).one()
        vectors = connection.scalar(text("select count(*) from prediction"))
    assert logits_read.shape == (N_TASKS, 3)
    np.testing.assert_array_equal(logits_read[trained], logits.T[trained])
    assert np.isnan(logits_read[~trained]).all()
    assert stored.seconds == 2.5
    assert stored.completed_at is not None
    assert vectors == 2


def test_vectors_of_another_length_raise_a_store_error(engine: Engine, three: dict[str, int]) -> None:
    logits, trained = scores(4, [EFFUSION, PNEUMONIA])
    with pytest.raises(StoreError, match=r"4 logits for the 3 images"), engine.begin() as connection:
        write_evaluation(connection, three["model"], three["image_list"], logits, outputs(trained))
    assert count(engine) == (0, 0)


def test_vectors_of_several_pieces_are_read_back_as_written(engine: Engine, rows: Any) -> None:
    """Whole pieces, and a last one that is full, or of one element; each element is found again, by every way."""
    site = rows.site()
    for number, length in enumerate((PIECE - 1, PIECE, PIECE + 1, 2 * PIECE)):
        with engine.begin() as connection:
            statement = text(
                "insert into image (site_id, name) select :s, :p || i from generate_series(1, :n) i returning id"
            )
            parameters = {"s": site, "p": f"{number}-", "n": length}
            ids = np.array(connection.scalars(statement, parameters).all(), dtype=np.int32)
            listed = put_image_list(connection, f"{length}", np.random.default_rng(length).permutation(ids))
            order = image_ids(connection, listed)
        protocol = rows.protocol(f"p{number}")
        labels = np.random.default_rng(length).choice([0, 1, None], length).tolist()
        rows.cohort(rows.dataset(f"d{number}", site, listed), protocol, listed, {EFFUSION: labels})
        logits, trained = scores(length, [EFFUSION, PNEUMONIA])
        model = rows.model(protocol, [EFFUSION, PNEUMONIA])
        with engine.begin() as connection:
            evaluation = write_evaluation(connection, model, listed, logits, outputs(trained))
            assert evaluation is not None
            np.testing.assert_array_equal(
                read_logits(connection, evaluation, range(N_TASKS))[trained], logits.T[trained]
            )
            pieces = connection.execute(
                text(
                    "select piece, cardinality(logits) from prediction where evaluation_id = :e and task_id = 7 order by 1"
                ),
                {"e": evaluation},
            ).all()
            assert [length_of for _, length_of in pieces[:-1]] == [PIECE] * (len(pieces) - 1)
            assert [index for index, _ in pieces] == list(range((length + PIECE - 1) // PIECE))
            names = dict(connection.execute(text("select id, name from image")).all())
            stored_pieces = connection.execute(
                text(
                    "select image, logit, label from predictions where test_dataset = :d and task = 'Effusion'"
                ),
                {"d": f"d{number}"},
            ).all()
            expected = [
                (names[i], float(str(x)), y)
                for i, x, y in zip(order, logits[:, EFFUSION], labels, strict=True)
            ]
            assert sorted(map(tuple, stored_pieces), key=str) == sorted(expected, key=str)
            whole = connection.execute(
                text(
                    "select n, n_pos, logits, labels from prediction_vectors where test_dataset = :d and task = 'Effusion'"
                ),
                {"d": f"d{number}"},
            ).one()
            assert (whole.n, whole.n_pos, whole.labels) == (length, labels.count(1), labels)
            np.testing.assert_array_equal(np.float32(whole.logits), logits[:, EFFUSION])


def test_a_second_evaluation_writes_nothing(engine: Engine, three: dict[str, int]) -> None:
    logits, trained = scores(3, [EFFUSION, PNEUMONIA])
    for turn in range(2):
        with engine.begin() as connection:
            evaluation_id = write_evaluation(
                connection, three["model"], three["image_list"], logits + turn, outputs(trained)
            )
        assert (evaluation_id is None) == (turn == 1)
    assert count(engine) == (1, 2)
    assert effusion(engine) == logits[:, EFFUSION].tolist()


@pytest.mark.parametrize("first_commits", [True, False])
def test_the_second_of_two_writers_waits_for_the_first(
    engine: Engine, three: dict[str, int], first_commits: bool
) -> None:
    """The second waits for the end of the first; then it writes nothing, or everything if the first gave up."""
    logits, trained = scores(3, [EFFUSION, PNEUMONIA])
    outcomes: list[int | None] = []

    def write() -> None:
        with engine.begin() as connection:
            outcomes.append(
                write_evaluation(
                    connection, three["model"], three["image_list"], logits + 1, outputs(trained)
                )
            )

    first = engine.connect()
    with first:
        assert (
            write_evaluation(first, three["model"], three["image_list"], logits, outputs(trained)) is not None
        )
        second = threading.Thread(target=write)
        second.start()
        wait_for_lock(engine)
        assert outcomes == []
        first.commit() if first_commits else first.rollback()
    second.join(20)
    assert len(outcomes) == 1
    assert (outcomes[0] is None) == first_commits
    assert count(engine) == (1, 2)
    assert effusion(engine) == (logits if first_commits else logits + 1)[:, EFFUSION].tolist()


def test_a_killed_writer_leaves_nothing(engine: Engine, three: dict[str, int]) -> None:
    logits, trained = scores(3, [EFFUSION, PNEUMONIA])
    writer = engine.connect()
    assert write_evaluation(writer, three["model"], three["image_list"], logits, outputs(trained)) is not None
    backend = writer.scalar(text("select pg_backend_pid()"))
    with engine.begin() as other:
        assert other.scalar(text("select pg_terminate_backend(:pid, 10000)"), {"pid": backend})
    with pytest.raises(DBAPIError, match="terminat"):
        writer.execute(text("select 1"))
    writer.close()
    assert count(engine) == (0, 0)
    with engine.begin() as connection:
        again = write_evaluation(connection, three["model"], three["image_list"], logits, outputs(trained))
    assert again is not None
    assert count(engine) == (1, 2)


def test_an_incomplete_evaluation_is_refused_at_commit(engine: Engine, three: dict[str, int]) -> None:
    logits, trained = scores(3, [EFFUSION])
    with (
        pytest.raises(DBAPIError, match="not complete: no scores for Pneumonia"),
        engine.begin() as connection,
    ):
        write_evaluation(connection, three["model"], three["image_list"], logits, outputs(trained))
    assert count(engine) == (0, 0)


def wait_for_lock(engine: Engine) -> None:
    """Until another connection to this database waits for a transaction to end."""
    waiting = text(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with engine.connect() as connection:
            if connection.scalar(waiting):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def count(engine: Engine) -> tuple[int, int]:
    """Evaluations and prediction vectors that are stored."""
    with engine.connect() as connection:
        counts = connection.execute(
            text("select (select count(*) from evaluation), (select count(*) from prediction)")
        ).one()
    return counts[0], counts[1]


def effusion(engine: Engine) -> list[float]:
    with engine.connect() as connection:
        vector = connection.scalar(text("select logits::float4[] from prediction where task_id = 7"))
    return [float(np.float32(number)) for number in vector]


# Features and classifiers


def test_features_are_stored_whole_and_once(engine: Engine, rows: Any, three: dict[str, int]) -> None:
    evaluation = rows.evaluation(
        three["model"], three["image_list"], {EFFUSION: [1, 2, 3], PNEUMONIA: [1, 2, 3]}
    )
    features = np.random.default_rng(0).normal(size=(3, 1024)).astype(np.float32)
    with (
        pytest.raises(StoreError, match=f"evaluation {evaluation} has no features"),
        engine.begin() as connection,
    ):
        read_features(connection, evaluation)
    with pytest.raises(StoreError, match="2 of 3 images"), engine.begin() as connection:
        write_features(connection, evaluation, features[:2])
    with engine.begin() as connection:
        assert write_features(connection, evaluation, features)
        assert not write_features(connection, evaluation, features + 1)
        np.testing.assert_array_equal(read_features(connection, evaluation), features)
    with pytest.raises(DBAPIError, match="feature rows are frozen"), engine.begin() as connection:
        connection.execute(text("update feature set features = array[1.0]::real[]"))
    with engine.begin() as connection:
        connection.execute(text("delete from evaluation"))
        assert connection.scalar(text("select count(*) from feature")) == 0


def test_several_writers_store_features_once(engine: Engine, rows: Any, three: dict[str, int]) -> None:
    evaluation = rows.evaluation(
        three["model"], three["image_list"], {EFFUSION: [1, 2, 3], PNEUMONIA: [1, 2, 3]}
    )
    features = np.ones((3, 4), np.float32)
    outcomes: list[bool] = []

    def write() -> None:
        with engine.begin() as connection:
            outcomes.append(write_features(connection, evaluation, features))

    with engine.begin() as connection:
        assert write_features(connection, evaluation, features)
        other = threading.Thread(target=write)
        other.start()
        wait_for_lock(engine)
    other.join(20)
    assert outcomes == [False]


def test_classifier_rows_are_stored_for_a_shared_head_and_for_heads_of_datasets(
    engine: Engine, rows: Any, three: dict[str, int]
) -> None:
    dataset = rows.dataset("nih", rows.site("elsewhere"), three["image_list"])
    weights = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    bias = np.array([0.25, -3.1], np.float32)
    with engine.begin() as connection:
        write_classifier(connection, three["model"], [(None, EFFUSION), (dataset, EFFUSION)], weights, bias)
        stored_rows = connection.execute(
            text("select dataset_id, task_id, weights, bias from classifier order by id")
        ).all()
    assert [(row.dataset_id, row.task_id) for row in stored_rows] == [(None, EFFUSION), (dataset, EFFUSION)]
    np.testing.assert_array_equal(np.array([row.weights for row in stored_rows], np.float32), weights)
    np.testing.assert_array_equal(np.array([row.bias for row in stored_rows], np.float32), bias)
    with pytest.raises(StoreError, match=r"classifier: .*unique"), engine.begin() as connection:
        write_classifier(connection, three["model"], [(None, EFFUSION)], weights[:1], bias[:1])
