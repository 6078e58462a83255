"""Planned re-reads in a real database: from "cannot tell" to a verdict, blind, with several readers."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.conftest import copy_template
from tests.xray.analyses.conftest import World
from tests.xray.analyses.test_causes import AT, CHANGED, ask, bought, columns, computed, patients, row_of
from xray.analyses.reread_plan import Share, plan
from xray.analyses.run import by_name, run
from xray.data.rereads import COLUMNS, add_reads, blind_list, put_plan
from xray.errors import AnalysisError, DataError
from xray.report.causes import sentence

N = 1500
BUDGET = 120


@dataclass
class Planned:
    world: World
    shares: list[Share]
    truth: np.ndarray
    csv: str

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.csv)))

    def filled(self, reader: str, wrong: float = 0.0, seed: int = 0) -> str:
        """The list with a reader's answers: by A's rules, but for a share that is turned over."""
        chance = np.random.default_rng(seed)
        answers = self.rows()
        for row in answers:
            yes = bool(self.truth[int(row["image"].removeprefix("there-test"))]) ^ (chance.random() < wrong)
            row |= {"reader": reader, "answer": "yes" if yes else "no"}
        return as_csv(answers)


def as_csv(rows: list[dict[str, str]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def planned(server, _template) -> Iterator[Planned]:
    """A vendor's model at its home and at a site where half of the finding's positives are others'; a plan for it."""
    engine = create_engine(copy_template(server, _template, "planned_rereads"))
    world = World(engine)
    home, same = patients("home", N), patients("same", N)
    labels = same[0].copy()
    chance = np.random.default_rng(5)
    labels[:, AT] = np.where(chance.random(N) < 0.5, chance.permutation(labels[:, AT]), labels[:, AT])
    world.dataset("home", columns(home[0]))
    world.dataset("there", columns(labels))
    model = bought(world)
    for name, (_, scores) in (("home", home), ("there", same)):
        world.score(model, name, columns(scores))
    world.study(["home", "there"], [model])
    ask(world, reference="home", loss_ratio=999)  # so strict that nothing is certain: all is in doubt
    computed(world)
    with engine.begin() as connection:
        study, shares, sample = plan(connection, "test", BUDGET, 7, task=CHANGED)
        content = blind_list(connection, put_plan(connection, study.id, "test", sample, 7), 7)
    yield Planned(world, shares, same[0][:, AT], content)
    engine.dispose()


@pytest.fixture
def write_list(tmp_path: Path) -> Callable[..., Path]:
    """A file with the cells of a CSV, in an encoding, or as a workbook."""

    def write(name: str, content: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        if path.suffix == ".xlsx":
            pd.read_csv(io.StringIO(content), dtype=str).to_excel(path, index=False)
        else:
            path.write_text(content, encoding=encoding)
        return path

    return write


def test_a_plan_names_the_images_the_labelling_rules_and_the_chance(planned):
    (share,) = planned.shares
    assert (share.read, share.rules_of, share.task, share.trained_on) == ("there", "home", CHANGED, "vendor")
    assert share.reads == BUDGET
    assert 0 < share.chance < 1
    assert 0 < share.whole < 1
    assert 0 < share.piped < 1
    assert share.drop > 0.05


def test_the_list_is_blind_and_in_random_order(planned):
    rows = planned.rows()
    assert tuple(rows[0]) == COLUMNS
    assert len({row["row"] for row in rows}) == len({row["image"] for row in rows}) == BUDGET
    assert {(row["question"], row["rules"]) for row in rows} == {("Mass?", "home")}
    assert all(re.fullmatch(r"L\d+-\d+", row["row"]) for row in rows), (
        "1-5 would be a day to a spreadsheet program"
    )
    assert not any(row["reader"] or row["answer"] or row["comment"] for row in rows)
    images = [int(row["image"].removeprefix("there-test")) for row in rows]
    assert images != sorted(images)
    assert abs(np.corrcoef(np.arange(BUDGET), planned.truth[images])[0, 1]) < 0.3


def test_a_stored_plan_never_changes_and_keeps_its_sampling_probabilities(planned):
    with planned.world.engine.connect() as connection:
        row = connection.execute(text("select * from reread_plan")).one()
    assert sum(row.drawn) == BUDGET
    assert sum(row.sizes) == N
    assert np.array_equal(np.bincount(row.strata), row.sizes)
    with planned.world.engine.connect() as connection, pytest.raises(DBAPIError, match="frozen"):
        connection.execute(text("update reread_plan set seed = 1"))


def test_the_same_seed_draws_the_same_images_for_the_finding_in_doubt(planned):
    with planned.world.engine.connect() as connection:
        _, shares, sample = plan(connection, "test", BUDGET, 7, task=CHANGED)
        again = plan(connection, "test", BUDGET, 7, task=CHANGED)[2]
        several = plan(connection, "test", 400, 7)[1]
    assert np.array_equal(sample[0].images, again[0].images)
    assert shares == planned.shares
    assert sum(share.reads for share in several) == 400
    assert all(share.reads >= 100 for share in several)


def test_an_impossible_plan_is_refused_with_the_reason(planned):
    with planned.world.engine.connect() as connection:
        with pytest.raises(AnalysisError, match="no finding 'Mas'"):
            plan(connection, "test", 100, 1, task="Mas")
        with pytest.raises(AnalysisError, match="no model 'other'"):
            plan(connection, "test", 100, 1, model="other")
        with pytest.raises(AnalysisError, match="reads would settle nothing of Cardiomegaly"):
            plan(connection, "test", 100, 1, task="Cardiomegaly")


def test_faults_of_a_file_are_listed_together_and_nothing_is_added(planned, write_list):
    rows = list(csv.DictReader(io.StringIO(planned.filled("anna"))))
    rows[0]["row"] = "L99-1"
    rows[1]["answer"] = "perhaps"
    rows[2]["reader"] = ""
    rows[4] = rows[3] | {"answer": "no"}
    with planned.world.engine.begin() as connection, pytest.raises(DataError) as caught:
        add_reads(connection, write_list("list.csv", as_csv(rows)))
    words = str(caught.value)
    for fault in ("no row 'L99-1'", "'perhaps'", "reader: expected a name", "has read it on line 5 already"):
        assert fault in words
    with (
        planned.world.engine.begin() as connection,
        pytest.raises(DataError, match="no column reader, answer"),
    ):
        add_reads(connection, write_list("list.csv", "row\nL1-1\n"))
    with planned.world.engine.begin() as connection, pytest.raises(DataError, match="no row has an answer"):
        add_reads(connection, write_list("list.csv", planned.csv))
    with planned.world.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from worklist_read")) == 0


def test_answers_of_two_readers_change_the_verdict_and_no_label(planned, write_list):
    world = planned.world
    ask(world, reference="home", loss_ratio=9)
    before = row_of(computed(world), "there")
    with world.engine.connect() as connection:
        labels = connection.scalars(text("select labels::text from cohort_label order by 1")).all()
    unread = list(csv.DictReader(io.StringIO(planned.filled("anna", 0.05, 1))))
    unread[0] |= {"reader": "", "answer": "", "comment": "zweifelhaft: Größe"}
    anna = write_list("anna.csv", as_csv(unread).replace(",", ";"), "cp1252")
    with world.engine.begin() as connection:
        added = add_reads(connection, anna)
        assert (added.new, added.repeated, added.empty) == (BUDGET - 1, 0, 1)
        assert (added.studies, added.readers) == (["test"], ["anna"])
        add_reads(connection, write_list("ben.xlsx", planned.filled("ben", 0.05, 2)))
        assert add_reads(connection, anna).repeated == BUDGET - 1
        with pytest.raises(DataError, match="anna said"):
            add_reads(connection, write_list("again.csv", planned.filled("anna", 1.0)))
    assert run(world.engine, "test", [by_name("causes")]) == {"causes": True}, "reads make the verdicts stale"
    assert run(world.engine, "test", [by_name("causes")]) == {"causes": False}
    after = row_of(computed(world), "there")
    assert after["probability_label_before"] == before["probability_label"]
    assert after["probability_label"] > 0.9
    assert "label" in after["verdict"]
    assert after["readers"] == 2
    assert 0.85 * BUDGET < after["reread"] <= BUDGET, "where both disagree there is no call"
    assert after["share_label_lower"] > 0
    assert f"by {after['reread']:.0f} images read again (2 readers)" in after["basis"]
    assert f"after {after['reread']:.0f} reads (2 readers)" in sentence(after.to_dict())
    assert np.isnan(row_of(computed(world), "there", "Edema")["reread"])
    with world.engine.connect() as connection:
        assert connection.scalars(text("select labels::text from cohort_label order by 1")).all() == labels
