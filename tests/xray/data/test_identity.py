"""One patient and one canonical image, whatever names datasets give them: against a plain loop, and as it becomes known."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from db.upkeep.audits import run
from xray.data.picture_hashes import PictureFacts
from xray.data.prepare import register_request
from xray.data.protocol import load_protocol
from xray.data.register import register
from xray.data.registered import read_named
from xray.data.request import DatasetRequest
from xray.data.selection import select
from xray.data.sources.base import SourceTable
from xray.data.split import parts
from xray.tasks import TASKS


@dataclass(frozen=True)
class Row:
    """An image as a dataset of a site describes it; `content` stands for its pixels."""

    name: str
    patient: str | None = None
    original: str | None = None
    content: str | None = None


def register_rows(engine: Engine, dataset: str, site: str, rows: Sequence[Row]) -> None:
    """Register the rows; of a published source, so that a second row with an equal picture is kept."""
    frame = pd.DataFrame({"image": [row.name for row in rows]}, dtype=object)
    frame["patient"] = pd.Series([row.patient for row in rows], dtype=object)
    frame["path"] = frame["image"] + ".png"
    frame["view"], frame["age"], frame["sex"] = None, np.nan, None
    frame["original"] = [row.original or "" for row in rows]
    states = np.zeros((len(rows), len(TASKS)), np.int8)
    table = SourceTable(frame, states, np.full(states.shape, "0", dtype=object))
    frames = [
        PictureFacts(row.content or f"{site}/{row.name}", f"{0:064x}", 64, 64, 0, 200, 255) for row in rows
    ]
    with_pixels = any(row.content for row in rows)
    with engine.begin() as connection:
        register(
            connection, dataset, site, "nih", table, Path("/pictures") if with_pixels else None,
            contents=frames if with_pixels else None,
        )  # fmt: skip


def stored(engine: Engine) -> dict[tuple[str, str], tuple[int, int]]:
    """(site, image name) → canonical image, patient."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select site.name as site, image.name, canonical_id, patient_id from image"
                " join site on site.id = site_id"
            )
        )
        return {(row.site, row.name): (row.canonical_id, row.patient_id) for row in rows}


def assert_well(engine: Engine) -> None:
    with engine.connect() as connection:
        assert [outcome.audit.name for outcome in run(connection) if outcome.rows] == []


def slowly(
    images: dict[tuple[str, str], Row],
) -> tuple[list[set[tuple[str, str]]], list[set[tuple[str, str]]]]:
    """Groups of one picture and groups of one patient, by comparing every two images until nothing changes."""

    def grouped(one: list[set[tuple[str, str]]]) -> list[set[tuple[str, str]]]:
        while pair := next(((a, b) for a, b in itertools.combinations(one, 2) if a & b), None):
            one = [group for group in one if group not in pair] + [pair[0] | pair[1]]
        return one

    def names(key: tuple[str, str]) -> set[object]:
        site, name = key
        row = images[key]
        return {(site, name), (site, row.original or name), row.content or (site, name)}

    pictures = grouped([{a, b} for a in images for b in images if names(a) & names(b)])
    same = [{a, b} for a in images for b in images
            if a[0] == b[0] and images[a].patient == images[b].patient is not None]  # fmt: skip
    return pictures, grouped(pictures + same)


@pytest.mark.parametrize("seed", range(6))
def test_identities_in_random_worlds_equal_those_of_a_plain_loop(engine: Engine, seed: int) -> None:
    """Three sites, five registrations: names, copies, contents and patients at random; told at once or later."""
    generator = random.Random(seed)
    images: dict[tuple[str, str], Row] = {}
    for number in range(5):
        site = generator.choice(["a", "b", "c"])
        with_pixels = generator.random() < 0.7
        rows = []
        for name in generator.sample([f"i{k}" for k in range(12)], 6):
            before = images.get((site, name), Row(name))
            row = Row(
                name,
                before.patient or generator.choice([None, *(f"p{k}" for k in range(8))]),
                before.original
                or generator.choice([None, None, None, *(f"i{k}" for k in range(12) if f"i{k}" != name)]),
                before.content or f"pixels {generator.randrange(25)}" if with_pixels else None,
            )
            rows.append(row)
            images[site, name] = Row(name, row.patient, row.original, row.content or before.content)
        register_rows(engine, f"dataset {number}", site, rows)
        result = stored(engine)
        for index, expected in enumerate(slowly(images)):
            groups: dict[int, set[tuple[str, str]]] = {}
            for key, ids in result.items():
                groups.setdefault(ids[index], set()).add(key)
            assert sorted(map(sorted, groups.values())) == sorted(map(sorted, expected))
        assert_well(engine)
    with engine.connect() as connection:
        assert connection.scalar(
            text("select count(*) from patient where not exists (select from image where patient_id = patient.id)")
        ) == 0  # fmt: skip


def test_a_chain_of_copies_is_one_image(engine: Engine) -> None:
    register_rows(engine, "first", "here", [Row("x", "1"), Row("y", "2")])
    register_rows(engine, "copies", "here", [Row("copy", None, "x"), Row("copy of the copy", None, "copy")])
    rows = stored(engine)
    assert len({rows["here", name] for name in ("x", "copy", "copy of the copy")}) == 1
    assert rows["here", "y"] not in {rows["here", "x"]}


def test_copies_of_an_unregistered_original_are_one_image(engine: Engine) -> None:
    register_rows(
        engine, "copies", "here", [Row("one", None, "absent"), Row("two", None, "absent"), Row("three")]
    )
    rows = stored(engine)
    assert rows["here", "one"] == rows["here", "two"] != rows["here", "three"]


def test_a_name_at_two_sites_is_two_patients_unless_they_share_a_picture(engine: Engine) -> None:
    register_rows(
        engine,
        "a",
        "a",
        [Row("i1", "7", None, "same"), Row("i2", "7", None, "a2"), Row("i3", "8", None, "a3")],
    )
    register_rows(
        engine,
        "b",
        "b",
        [Row("k1", "x", None, "same"), Row("k2", "x", None, "b2"), Row("k3", "8", None, "b3")],
    )
    rows = stored(engine)
    assert rows["a", "i1"][0] == rows["b", "k1"][0] != rows["b", "k2"][0]
    assert rows["a", "i2"][1] == rows["b", "k2"][1], "patient 7 of a is patient x of b"
    assert rows["a", "i3"][1] != rows["b", "k3"][1], "patients 8 are two"


@pytest.fixture
def parts_of(engine: Engine):
    """Names of the images of a dataset → parts under `corrected`, as the split would cut now."""

    def cut(name: str) -> dict[str, str]:
        with engine.connect() as connection:
            dataset = read_named(connection, name)
        protocol = load_protocol("corrected")
        selection = select(dataset.table, dataset.labeller, protocol)
        names = dataset.table.rows["image"].iloc[selection.index].tolist()
        split = parts(selection, dataset.table, dataset.site, protocol)
        return {names[row]: part for part, selected in split.items() for row in selected.tolist()}

    return cut


def test_patients_keep_their_part_when_more_becomes_known(engine: Engine, tmp_path: Path, parts_of) -> None:
    """Frozen with nobody's name; later a dataset names the patients: all their images stand where the first stood."""

    def add(name: str, rows: list[str]) -> None:
        (tmp_path / f"{name}.csv").write_text("\n".join(["image_id,patient_id,path,Mass", *rows]))
        register_request(
            engine,
            DatasetRequest(name, "here", "manifest", tmp_path / f"{name}.csv", None, None, True),
            "corrected",
        )

    add("first", [f"i{k},,i{k}.png,1" for k in range(40)])
    before = parts_of("first")
    add("later", [f"i{k},p{k},i{k}.png,1" for k in range(40)])
    add("more", [f"new{k},p{k},new{k}.png,0" for k in range(40)])
    assert len(before) == 40
    assert parts_of("first") == before
    assert parts_of("later") == before
    assert {name.removeprefix("new"): part for name, part in parts_of("more").items()} == {
        name.removeprefix("i"): part for name, part in before.items()
    }
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from leaking_cohorts")) == 0
        assert connection.scalar(text("select count(*) from patient where name is null")) == 0


def test_a_patient_with_two_names_counts_once(engine: Engine) -> None:
    """`corrected` takes the first image of each patient; the released code went by the names."""
    rows = [Row("i1", "1", None, "same"), Row("i2", "2", None, "same"), Row("i3", "2", None, "other")]
    register_rows(engine, "mine", "here", rows)
    with engine.connect() as connection:
        table = read_named(connection, "mine").table
        n_patients = connection.scalar(text("select count(*) from patient"))
    table.rows["view"] = table.rows["View Position"] = "PA"
    assert select(table, "nih", load_protocol("corrected")).index.tolist() == [0]
    assert select(table, "nih", load_protocol("paper")).index.tolist() == [0, 1]
    assert n_patients == 1


def test_results_are_stale_when_identities_of_images_change(engine: Engine) -> None:
    register_rows(engine, "a", "here", [Row("i1", "1"), Row("i2", "2")])
    register_rows(engine, "b", "here", [Row("i3", "3")])
    with engine.begin() as connection:
        for study, dataset in (("of a", "a"), ("of b", "b")):
            analysis_id = connection.scalar(
                text("insert into study (name, definition) values (:name, '{}') returning id"),
                {"name": study},
            )
            connection.execute(
                text("insert into study_dataset (study_id, dataset_id, position) select :s, id, 0 from dataset"
                     " where name = :d"), {"s": analysis_id, "d": dataset},
            )  # fmt: skip
            connection.execute(
                text("insert into analysis (study_id, name, fingerprint) values (:s, 'auc', 'now')"),
                {"s": analysis_id},
            )
    register_rows(engine, "links", "here", [Row("i1", "1", "i2")])
    with engine.connect() as connection:
        stale = connection.execute(
            text("select study.name, fingerprint from analysis join study on study.id = study_id order by 1")
        ).all()
    assert [tuple(row) for row in stale] == [("of a", ""), ("of b", "now")]
