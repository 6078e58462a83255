"""The SQL functions against scikit-learn, and what one image was scored."""

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sqlalchemy import Engine, text

from db.copy import array, copy_in, scalar
from db.store import put_image_list, write_evaluation

EFFUSION, PNEUMONIA = 7, 8

LOGITS = st.one_of(
    st.none(),
    st.sampled_from([math.nan, -1.5, 0.0, -0.0, 2.0, 3e38, -3e38]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
PAIRS = st.lists(st.tuples(LOGITS, st.sampled_from([0, 1, 1, 0, None])), max_size=30)


@pytest.fixture(scope="module")
def functions(shared_rows: Any) -> Engine:
    return shared_rows.engine


@given(pairs=PAIRS)
@example(pairs=[])
@example(pairs=[(1.0, 1)])
@example(pairs=[(None, 1), (math.nan, 0), (1.0, None)])
@example(pairs=[(0.0, 1), (-0.0, 0)])
@example(pairs=[(2.0, 1), (2.0, 0), (2.0, 0), (1.0, 1)])
@settings(max_examples=30, deadline=None)
def test_auc_equals_scikit_learn(functions: Engine, pairs: list[tuple[float | None, int | None]]) -> None:
    value = auc(functions, pairs)
    complete = [(x, y) for x, y in pairs if x is not None and not math.isnan(x) and y is not None]
    if len({y for _, y in complete}) < 2:
        assert value is None
    else:
        scores, labels = np.float32([x for x, _ in complete]).astype(float), [y for _, y in complete]
        assert value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_of_many_tied_scores_equals_scikit_learn(functions: Engine) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.05).astype(int)
    scores = np.round(rng.normal(size=20_000) + labels, 1).astype(np.float32)
    value = auc(functions, list(zip(scores.tolist(), labels.tolist(), strict=True)))
    assert value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_takes_infinite_logits(functions: Engine) -> None:
    pairs = [(math.inf, 1), (-math.inf, 0), (0.0, 1), (0.5, 0)]
    assert auc(functions, pairs) == 0.75


@pytest.mark.parametrize("scores", ["real", "double precision"])
@pytest.mark.parametrize("labels", ["smallint", "integer"])
def test_auc_takes_scores_and_labels_of_either_type_and_only_labels_1_and_0(
    functions: Engine, scores: str, labels: str
) -> None:
    parameters = {"scores": [0.2, 0.7, 0.4, 0.9, 0.1, 0.95], "labels": [0, 1, 1, 0, -1, 2]}
    statement = text(f"select auc(cast(:scores as {scores}[]), cast(:labels as {labels}[]))")
    with functions.connect() as connection:
        assert connection.scalar(statement, parameters) == roc_auc_score([0, 1, 1, 0], [0.2, 0.7, 0.4, 0.9])


def auc(engine: Engine, pairs: list[tuple[float | None, int | None]]) -> float | None:
    parameters = {"logits": [x for x, _ in pairs], "labels": [y for _, y in pairs]}
    statement = text("select auc(cast(:logits as real[]), cast(:labels as smallint[]))")
    with engine.connect() as connection:
        return connection.scalar(statement, parameters)


@given(pairs=st.lists(st.tuples(*[st.sampled_from([True, False, False, None])] * 2), max_size=25))
@example(pairs=[])
@example(pairs=[(True, True)] * 3)
@example(pairs=[(True, False)] * 3)
@example(pairs=[(True, None), (None, False)])
@settings(max_examples=30, deadline=None)
def test_kappa_equals_scikit_learn(functions: Engine, pairs: list[tuple[bool | None, bool | None]]) -> None:
    parameters = {"a": [x for x, _ in pairs], "b": [y for _, y in pairs]}
    with functions.connect() as connection:
        value = connection.scalar(
            text("select kappa(cast(:a as boolean[]), cast(:b as boolean[]))"), parameters
        )
    complete = [(x, y) for x, y in pairs if x is not None and y is not None]
    if len({call for pair in complete for call in pair}) < 2:
        assert value is None
    else:
        assert value == pytest.approx(cohen_kappa_score(*zip(*complete, strict=True)), abs=1e-12)


def test_expit_equals_scipy(functions: Engine) -> None:
    with functions.connect() as connection:
        values = connection.execute(
            text(
                "select expit(x) from unnest(array[null, 'NaN', 0, 1, -40, 1e300, '-infinity']::float[]) as x"
            )
        ).scalars()
        none, nan, *others = values
    assert (none, nan) == (None, None)
    expected = expit(np.array([0.0, 1, -40, 1e300, -np.inf])).tolist()
    assert others == pytest.approx(expected, rel=1e-14, abs=1e-300)


def test_functions_answer_the_queries_of_their_headers(engine: Engine, rows: Any) -> None:
    """The queries that the headers of the functions give."""
    site = rows.site()
    listed = rows.image_list(rows.images(site, ["a", "b", "c", "d"]))
    protocol = rows.protocol()
    rows.cohort(rows.dataset("nih", site, listed), protocol, listed, {EFFUSION: [1, 0, 1, None]})
    for seed, logits in enumerate(([1.0, 0.0, -1.0, 5.0], [2.0, -2.0, 1.0, math.nan])):
        rows.evaluation(rows.model(protocol, [EFFUSION], seed=seed), listed, {EFFUSION: logits})
    areas = text(
        "select seed, auc(array_agg(logit), array_agg(label)) from predictions where task = 'Effusion'"
        " group by seed order by seed"
    )
    kappa = text(
        "select kappa(array_agg(a.logit > 0 order by a.image), array_agg(b.logit > 0 order by b.image))"
        " from predictions a join predictions b using (image) where a.seed = 0 and b.seed = 1"
    )
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(areas)] == [(0, 0.5), (1, 1.0)]
        calls = cohen_kappa_score([True, False, False], [True, False, True])
        assert connection.scalar(kappa) == pytest.approx(calls, abs=1e-12)


def image_rows(engine: Engine, name: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        result = connection.execute(text("select * from image_predictions(:name)"), {"name": name})
        assert list(result.keys()) == ["site", "model", "seed", "trained_on", "task", "logit", "probability"]
        return [(row.site, row.seed, row.task, row.logit) for row in result]


def test_image_predictions_has_a_row_per_model_and_task(engine: Engine, rows: Any) -> None:
    """An image in two lists is told once per model and task; one name at two sites is two images."""
    near_site, far_site = rows.site("here"), rows.site("there")
    ids, other = rows.images(near_site, ["a", "b", "c"]), rows.images(far_site, ["c"])
    first, second = rows.image_list(ids), rows.image_list([ids[2], ids[0]])
    elsewhere = rows.image_list(other)
    protocol = rows.protocol()
    models = [
        rows.model(protocol, tasks, seed=seed)
        for seed, tasks in enumerate([[EFFUSION, PNEUMONIA], [EFFUSION]])
    ]
    rows.evaluation(models[0], first, {EFFUSION: [1, 2, 3], PNEUMONIA: [4, 5, math.nan]})
    rows.evaluation(models[0], second, {EFFUSION: [3, 1], PNEUMONIA: [math.nan, 4]})
    rows.evaluation(models[1], second, {EFFUSION: [-3, -1]})
    rows.evaluation(models[1], elsewhere, {EFFUSION: [9]})
    assert image_rows(engine, "b") == [("here", 0, "Effusion", 2), ("here", 0, "Pneumonia", 5)]
    assert image_rows(engine, "c") == [
        ("here", 0, "Effusion", 3),
        ("here", 0, "Pneumonia", None),
        ("here", 1, "Effusion", -3),
        ("there", 1, "Effusion", 9),
    ]
    assert image_rows(engine, "nowhere") == []


@pytest.mark.slow
def test_one_image_takes_milliseconds(engine: Engine, rows: Any) -> None:
    """Three million scores: milliseconds by the function and by a filter on the view, which say the same."""
    site = rows.site()
    n_images, n_models = 20_000, 9
    with engine.begin() as connection:
        insertion = text(
            "insert into image (site_id, name) select :site, 'image ' || n from generate_series(1, :n) as n returning id"
        )
        ids = np.array(
            connection.execute(insertion, {"site": site, "n": n_images}).scalars().all(), dtype=np.int32
        )
        listed = put_image_list(connection, "big", ids)
    protocol = rows.protocol()
    cohort = rows.cohort(rows.dataset("nih", site, listed), protocol, listed, {})
    labels = np.random.default_rng(0).integers(0, 2, (n_images, 18)).astype(np.int16)
    with engine.begin() as connection:
        vectors = [
            (scalar(cohort, "int4"), scalar(task, "int2"), array(vector, "int2"), *counts(vector))
            for task, vector in enumerate(labels.T)
        ]
        copy_in(connection, "cohort_label", ("cohort_id", "task_id", "labels", "n_pos", "n_neg"), vectors)
    for seed in range(n_models):
        logits = np.random.default_rng(seed).normal(size=(n_images, 18)).astype(np.float32)
        model = rows.model(protocol, range(18), seed=seed)
        with engine.begin() as connection:
            write_evaluation(connection, model, listed, logits, range(18))
    columns = "seed, task, logit, probability"
    by_function = f"select {columns} from image_predictions('image 7777') order by seed, task"
    by_view = f"select {columns} from predictions where image = 'image 7777' order by seed, task"
    fastest = {by_function: math.inf, by_view: math.inf}
    answers = []
    with engine.connect() as connection:
        for _ in range(3):
            for statement in fastest:
                start = time.perf_counter()
                answers.append(connection.execute(text(statement)).all())
                fastest[statement] = min(fastest[statement], time.perf_counter() - start)
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 18 * n_models
    assert max(fastest.values()) < 0.1


def counts(vector: Any) -> tuple[bytes | None, bytes | None]:
    n_pos = int(vector.sum())
    return scalar(n_pos, "int4"), scalar(len(vector) - n_pos, "int4")


@given(
    vectors=st.integers(1, 4).flatmap(
        lambda k: st.lists(
            st.lists(st.sampled_from([math.nan, -1.5, 0.25, 3e38, -3e38, 1e-30]), min_size=5, max_size=5),
            min_size=k,
            max_size=k,
        )
    )
)
@example(vectors=[[math.nan] * 5, [math.nan] * 5])
@example(vectors=[[1.0, math.nan, 2.0, 3.0, 4.0], [2.0, 5.0, math.nan, 3.0, 6.0]])
@settings(max_examples=20, deadline=None)
def test_mean_logits_equals_numpy(functions: Engine, vectors: list[list[float]]) -> None:
    with functions.connect() as connection:
        statement = text(
            "select mean_logits(array_agg(v::real[] order by n)) from unnest(cast(:v as text[])) with ordinality u (v, n)"
        )
        value = connection.scalar(statement, {"v": ["{" + ",".join(map(str, v)) + "}" for v in vectors]})
    rows_of_vectors = np.float32(vectors).astype(float)
    scored = ~np.isnan(rows_of_vectors)
    with np.errstate(invalid="ignore"):
        expected = np.where(scored, rows_of_vectors, 0).sum(axis=0) / scored.sum(axis=0)
    np.testing.assert_array_equal(np.float32(value), expected.astype(np.float32))


def test_ensembles_from_vectors_equal_those_from_rows(engine: Engine, rows: Any) -> None:
    """What `prediction_vectors` gives in one line, from the rows of `predictions`; an output never trained has no row."""
    site = rows.site()
    listed = rows.image_list(rows.images(site, [f"i{n}" for n in range(8)]))
    protocol = rows.protocol()
    rows.cohort(rows.dataset("nih", site, listed), protocol, listed, {EFFUSION: [1, 0, None, 1, 0, 0, 1, 0]})
    random = np.random.default_rng(0)
    for seed in range(3):
        logits = {EFFUSION: random.normal(size=8).tolist(), PNEUMONIA: random.normal(size=8).tolist()}
        logits[EFFUSION][seed] = math.nan
        rows.evaluation(rows.model(protocol, [EFFUSION, PNEUMONIA], seed=seed), listed, logits)
    by_vectors = "select auc(mean_logits(array_agg(logits)), min(labels)) from prediction_vectors where task = 'Effusion'"
    by_rows = (
        "select auc(array_agg(logit), array_agg(label)) from (select image, avg(logit)::real as logit, min(label) as label"
        " from predictions where task = 'Effusion' group by image) as ensemble"
    )
    counts = "select task, count(*), sum(n), min(n_pos), min(n_neg) from prediction_vectors group by task order by task"
    with engine.connect() as connection:
        assert connection.scalar(text(by_vectors)) == connection.scalar(text(by_rows))
        counts_found = [tuple(row) for row in connection.execute(text(counts))]
        assert counts_found == [("Effusion", 3, 24, 3, 4), ("Pneumonia", 3, 24, 0, 0)]
