"""What people read of a worklist becomes the labels of a dataset, and is compared and tested on as any other."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import Engine, text

from xray.data.labeller_agreement import labeller_agreement
from xray.data.prepare import freeze_dataset
from xray.data.reads import RULES, register_reads
from xray.errors import DataError
from xray.explorer.asking import Database
from xray.explorer.worklists import Read, Worklists

N = 30


@pytest.fixture
def read(engine: Engine, draw: Callable[..., None]) -> dict[str, list[str]]:
    """Thirty test images of a site, read for Effusion by two readers: answers by reader, in the order of image names."""
    draw("a", patients=200)
    with engine.connect() as connection:
        images = connection.execute(
            text(
                "select image.id, image.name from cohort join image_list on image_list.id = cohort.image_list_id"
                " join image on image.id = any(image_list.image_ids) where part = 'test' order by image.name limit :n"
            ),
            {"n": N},
        ).all()
    url = engine.url.render_as_string(hide_password=False)
    database = Database.of(url)
    worklists = Worklists(database, url)
    number = worklists.make("doubtful ones", "Effusion", [row.id for row in images], None)
    position = {row.image_id: row.position for row in database.rows("worklist_images", id=number)}
    database.close()
    chance = np.random.default_rng(3)
    answers = {
        reader: chance.choice(["yes", "no", "unsure"], N, p=[0.4, 0.5, 0.1]).tolist()
        for reader in ("anna", "ben")
    }
    for reader, message in answers.items():
        reads = [Read(position[row.id], reader, answer) for row, answer in zip(images, message, strict=True)]
        worklists.keep(number, reads)
    return answers


def states(engine: Engine, dataset: str) -> list[str]:
    with engine.connect() as connection:
        query = "select state from labels where dataset = :dataset and task = 'Effusion' order by image"
        return list(connection.scalars(text(query), {"dataset": dataset}))


def test_one_readers_answers_become_labels_with_reader_and_time(
    engine: Engine, read: dict[str, list[str]]
) -> None:
    with engine.begin() as connection:
        registration = register_reads(connection, "doubtful ones", "a-by-anna", reader="anna")
        assert registration.n_images == N
        word = {"yes": "positive", "no": "negative", "unsure": "uncertain"}
    assert states(engine, "a-by-anna") == [word[answer] for answer in read["anna"]]
    with engine.connect() as connection:
        terms = connection.scalars(
            text("select source_term from labels where dataset = 'a-by-anna' and task = 'Effusion'")
        )
        assert set(terms) == {f"anna: {answer}" for answer in read["anna"]}
        cells = connection.execute(
            text("select native_column, value from native_cells where dataset = 'a-by-anna'")
        ).all()
    assert ("worklist", "doubtful ones") in cells
    assert any(name == "read" and value.startswith("anna: 20") for name, value in cells)


def test_two_readers_are_compared_like_two_labellers(engine: Engine, read: dict[str, list[str]]) -> None:
    with engine.begin() as connection:
        for reader in read:
            register_reads(connection, "doubtful ones", f"a-by-{reader}", reader=reader)
        (row,) = labeller_agreement(connection, "a-by-anna", "a-by-ben")
    pairs = [(a, b) for a, b in zip(*read.values(), strict=True) if "unsure" not in (a, b)]
    assert (row.task, row.n) == ("Effusion", len(pairs))
    assert row.kappa.value == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


@pytest.mark.parametrize("rule", RULES)
def test_several_readers_make_one_label_by_a_rule(
    engine: Engine, read: dict[str, list[str]], rule: str
) -> None:
    with engine.begin() as connection:
        register_reads(connection, "doubtful ones", f"a-by-{rule}", rule)
    expected = []
    for one, other in zip(*read.values(), strict=True):
        message = {one, other}
        if rule == "any":
            answer = "positive" if "yes" in message else "uncertain" if "unsure" in message else "negative"
        elif rule == "all":
            answer = "negative" if "no" in message else "uncertain" if "unsure" in message else "positive"
        elif message == {"yes", "no"} or message == {"unsure"}:
            answer = "uncertain"
        else:
            answer = "positive" if "yes" in message else "negative"
        expected.append(answer)
    assert states(engine, f"a-by-{rule}") == expected


def test_the_test_cohort_consists_of_images_that_are_scored_already(
    engine: Engine, read: dict[str, list[str]]
) -> None:
    with engine.begin() as connection:
        registration = register_reads(connection, "doubtful ones", "a-again")
        assert freeze_dataset(connection, registration.dataset_id, "corrected", required=["test"]) == []
        rows = connection.execute(
            text("select part, image_list.image_ids from cohort join image_list on image_list.id = image_list_id"
                 " join dataset on dataset.id = dataset_id where dataset.name = :name"), {"name": "a-again"},
        ).all()  # fmt: skip
        own = connection.scalars(
            text("select unnest(image_ids) from cohort join image_list on image_list.id = image_list_id"
                 " join dataset on dataset.id = dataset_id where dataset.name = 'a' and part = 'test'")
        ).all()  # fmt: skip
        n_pos = connection.scalar(
            text(
                "select n_pos from cohort_label join cohort on cohort.id = cohort_id where dataset_id = :id"
            ),
            {"id": registration.dataset_id},
        )
    assert [row.part for row in rows] == ["test"]
    assert set(rows[0].image_ids) <= set(own)
    assert n_pos == states(engine, "a-again").count("positive")


def test_registering_a_worklist_without_answers_is_an_error(
    engine: Engine, read: dict[str, list[str]]
) -> None:
    with engine.connect() as connection:
        with pytest.raises(DataError, match="nobody has read a worklist 'none'; read were: doubtful ones"):
            register_reads(connection, "none", "x")
        with pytest.raises(DataError, match="'cleo' has read nothing of it; anna, ben did"):
            register_reads(connection, "doubtful ones", "x", reader="cleo")
