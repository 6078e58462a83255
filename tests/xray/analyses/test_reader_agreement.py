"""Readers against each other, models against them: equal to scikit-learn and statsmodels; the page names the ceiling."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import insert, select, text, update
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from db.schema import Dataset, Reader, ReaderLabel
from tests.xray.analyses.conftest import World
from xray.analyses.analysis import Stored, stored_rows
from xray.analyses.run import by_name, run
from xray.analyses.stored import load_study, load_tests
from xray.report.parts.readers import NOBODY, reader_agreement
from xray.tasks import TASK_INDEX

N = 60


def panel(
    world: World, dataset: str, states: NDArray[np.int8], task: str = "Effusion", rule: str = "majority"
) -> None:
    """Readers r0, r1, … of a dataset with these states (n_readers, n_images)."""
    with world.engine.begin() as connection:
        number = connection.scalar(select(Dataset.id).where(Dataset.name == dataset))
        connection.execute(update(Dataset).where(Dataset.id == number).values(reader_rule=rule))
        for k, image_states in enumerate(states.tolist()):
            reader = connection.scalar(
                insert(Reader).values(dataset_id=number, name=f"r{k}").returning(Reader.id)
            )
            connection.execute(
                insert(ReaderLabel).values(reader_id=reader, task_id=TASK_INDEX[task], states=image_states)
            )


def draw_calls(readers: int, agree: float = 0.8, seed: int = 3) -> NDArray[np.int8]:
    rng = np.random.default_rng(seed)
    truth = rng.random(N) < 0.4
    return np.where(rng.random((readers, N)) < agree, truth, ~truth).astype(np.int8)


def rows_of(world: World, study: str = "test") -> list[dict[str, object]]:
    run(world.engine, study, [by_name("reader_agreement")])
    with world.engine.begin() as connection:
        return [
            dict(row) for row in connection.execute(text("select * from reader_agreement_results")).mappings()
        ]


def only(rows: Sequence[dict[str, object]], **values: object) -> dict[str, object]:
    (row,) = [row for row in rows if all(row[key] == value for key, value in values.items())]
    return row


def test_kappas_of_pairs_and_of_all_readers_equal_reference_implementations(two_sites: World) -> None:
    states = draw_calls(3)
    panel(two_sites, "x", states)
    rows = rows_of(two_sites)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        row = only(rows, compared="pair of readers", reader_a=f"r{a}", reader_b=f"r{b}")
        one, two = states[a], states[b]
        assert row["kappa"] == pytest.approx(cohen_kappa_score(one, two), abs=1e-12)
        assert row["pabak"] == pytest.approx(2 * np.mean(one == two) - 1, abs=1e-12)
        both = int((one & two).sum())
        assert row["positive_agreement"] == pytest.approx(2 * both / (one.sum() + two.sum()), abs=1e-12)
        assert row["negative_agreement"] == pytest.approx(
            2 * int(((1 - one) & (1 - two)).sum()) / ((1 - one).sum() + (1 - two).sum()), abs=1e-12
        )
        assert (row["n"], row["n_calls"], row["trained_on"], row["test_dataset"]) == (N, N, None, "x")
        assert row["lower"] < row["kappa"] < row["upper"]  # type: ignore[operator]
    together = only(rows, compared="readers")
    assert together["kappa"] == pytest.approx(fleiss_kappa(aggregate_raters(states.T)[0]), abs=1e-12)
    assert (together["n"], together["n_calls"]) == (N, 6 * N)


def test_several_pairs_on_the_same_images_do_not_narrow_the_interval(two_sites: World) -> None:
    """Three pairs of one image are one patient: the interval is hardly narrower than that of one pair."""
    panel(two_sites, "x", draw_calls(3))
    rows = rows_of(two_sites)
    together = only(rows, compared="readers")
    pairs = [row for row in rows if row["compared"] == "pair of readers"]
    widths = [float(row["upper"]) - float(row["lower"]) for row in (together, *pairs)]  # type: ignore[arg-type]
    assert widths[0] > 0.55 * min(widths[1:])  # six times the calls as if they were independent: 0.41


def test_a_reader_without_a_certain_answer_has_no_call(two_sites: World) -> None:
    states = draw_calls(3)
    states[0, :20], states[1, 10:30], states[2, 25:] = -2, -1, -2
    panel(two_sites, "x", states)
    rows = rows_of(two_sites)
    both = (states[0] >= 0) & (states[1] >= 0)
    row = only(rows, compared="pair of readers", reader_a="r0", reader_b="r1")
    assert row["n"] == both.sum()
    assert row["kappa"] == pytest.approx(cohen_kappa_score(states[0][both], states[1][both]), abs=1e-12)
    several = (states >= 0).sum(axis=0) > 1
    assert only(rows, compared="readers")["n"] == several.sum()
    for row in rows:
        if row["compared"] == "model and readers":
            assert row["n"] == several.sum()


def test_a_model_is_compared_with_each_reader_and_with_the_label_on_the_readers_images(
    two_sites: World,
) -> None:
    states = draw_calls(3)
    states[2, :40] = -2
    panel(two_sites, "x", states)
    rows = rows_of(two_sites)
    with two_sites.engine.begin() as connection:
        study = load_study(connection, "test")
        test = next(cohort for cohort in load_tests(connection, study) if cohort.dataset == "x")
    index = TASK_INDEX["Effusion"]
    for name in test.trained_on:
        calls = (test.ensemble(name)[:, index] >= test.youden(name).threshold[index]).astype(int)
        one = np.concatenate([calls[states[k] >= 0] for k in range(3)])
        two = np.concatenate([states[k][states[k] >= 0] for k in range(3)])
        row = only(rows, compared="model and readers", trained_on=name)
        assert row["kappa"] == pytest.approx(cohen_kappa_score(one, two), abs=1e-12)
        assert (row["n"], row["n_calls"]) == (N, len(one))
        label = test.cohort.labels[:, index]
        labelled = ~np.isnan(label)
        row = only(rows, compared="model and label", trained_on=name)
        assert row["kappa"] == pytest.approx(cohen_kappa_score(calls[labelled], label[labelled]), abs=1e-12)
        assert row["n"] == labelled.sum() == N - 5
        assert row["evaluation_ids"] == test.ids(name)


def test_the_page_names_the_human_ceiling_where_there_is_one(two_sites: World) -> None:
    analysis = by_name("reader_agreement")
    run(two_sites.engine, "test", [analysis])
    with two_sites.engine.begin() as connection:
        nobody = analysis.show(Stored(connection, "test", stored_rows(connection, "test", analysis)))
    assert list(nobody.findings) == [NOBODY]
    assert not len(nobody.data)  # so the page leaves it out
    panel(two_sites, "x", draw_calls(3, agree=0.95))
    with two_sites.engine.begin() as connection:
        connection.execute(text("delete from analysis"))
    run(two_sites.engine, "test", [analysis])
    with two_sites.engine.begin() as connection:
        part = reader_agreement(stored_rows(connection, "test", analysis))
    (message,) = part.findings
    assert message.startswith("x: readers agree with a median κ of 0.")
    assert "the human ceiling" in message
    assert "clearly below it, intervals apart, for 1 of 1 finding (Effusion)" in message
    (table,) = part.tables
    assert "the label follows by: majority" in table.caption
    assert table.rows[0][1][0].text == "readers (human ceiling)"
    assert len(table.rows) == 1 + 2 * 3  # x, y and all, with readers and with the label
