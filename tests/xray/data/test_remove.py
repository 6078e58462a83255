"""A dataset is taken away whole, never with what others stand on; and its pictures may move."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, func, select, text

from db.schema import Base
from db.upkeep.audits import run as run_audits
from tests.db.conftest import Rows
from tests.db.everything import fill
from tests.xray.data.test_register import add, draw, manifest
from xray.data.pictures import pixel_cache
from xray.data.register import Registration
from xray.data.registered import read_named
from xray.data.relocate import relocate
from xray.data.remove import hanging, remove
from xray.errors import DataError

TABLES = """
    site patient image image_list dataset cohort cohort_label cohort_label_piece label source_term native_column label_rule
    dataset_task quarantine evaluation prediction listed_image analysis model training_cohort study_dataset leakage
"""


def rows(engine: Engine) -> dict[str, int]:
    with engine.begin() as connection:
        return {t: connection.scalar(text(f"select count(*) from {t}")) or 0 for t in TABLES.split()}


def register_own(
    engine: Engine, home: Path, name: str, folder: Path, site: str = "removed-site"
) -> Registration:
    labels = folder / "labels.csv" if folder.exists() else manifest(folder)
    return add(engine, name, labels, folder, source="manifest", site=site, home=home)


def take_away(engine: Engine, name: str, **options: bool) -> None:
    with engine.begin() as connection:
        remove(connection, name, **options)


def test_a_removed_dataset_leaves_nothing_and_its_name_can_be_used_again(
    engine: Engine, tmp_path: Path
) -> None:
    before = rows(engine)
    register_own(engine, tmp_path, "wrong", tmp_path / "w")
    take_away(engine, "wrong")
    assert rows(engine) == before
    labels = (tmp_path / "w/labels.csv").read_text().replace("Mass", "Hernia")
    (tmp_path / "w/labels.csv").write_text(labels)
    assert not register_own(engine, tmp_path, "wrong", tmp_path / "w").unchanged
    take_away(engine, "wrong")


def test_images_of_another_dataset_stay(engine: Engine, tmp_path: Path) -> None:
    register_own(engine, tmp_path, "stays", tmp_path / "s")
    before = rows(engine)
    text_ = (tmp_path / "s/labels.csv").read_text().replace("Mass", "Hernia")
    (tmp_path / "s/other.csv").write_text(text_)
    add(engine, "goes", tmp_path / "s/other.csv", tmp_path / "s", source="manifest", site="removed-site")
    take_away(engine, "goes")
    assert rows(engine) == before
    with engine.begin() as connection:
        assert len(read_named(connection, "stays").image_ids) == 20
    take_away(engine, "stays")


def test_results_are_removed_only_on_request(engine: Engine, tmp_path: Path) -> None:
    before = rows(engine)
    register_own(engine, tmp_path, "scored", tmp_path / "r")
    with engine.begin() as connection:
        model = connection.scalar(
            text(
                "insert into model (name, key, kind, trained_on, card, provenance, trained_at) values"
                " ('from-afar', 'remove-test', 'foreign', 'from-afar', '{}', '{}', null) returning id"
            )
        )
        connection.execute(
            text(
                "insert into evaluation (model_id, image_list_id) select :model, cohort.image_list_id from cohort"
                " join dataset on dataset.id = cohort.dataset_id where dataset.name = 'scored' and part = 'test'"
            ),
            {"model": model},
        )
        assert hanging(connection, "scored").lines() == ["evaluations of its images by other models: 1"]
    with pytest.raises(DataError, match="--with-results removes them too:\n  evaluations of its images"):
        take_away(engine, "scored")
    take_away(engine, "scored", with_results=True)
    with engine.begin() as connection:
        connection.execute(text("delete from model where id = :model"), {"model": model})
    assert rows(engine) == before


STAY = {
    "change",
    "home",
    "task",
    "protocol",
    "study",
    "study_task",
    "study_model",
    "model",
    "model_task",
    "foreign_training",
}
"""Tables that may have rows without a dataset: what is said of studies and of models from elsewhere, and changes."""


def test_everything_that_depends_on_a_dataset_is_removed_with_it(engine: Engine) -> None:
    """In a database with rows in every table, those of tables to come too."""
    fill(Rows(engine))
    with engine.begin() as connection:
        names = connection.scalars(text("select name from dataset order by name")).all()
        for name in names[:-1]:
            remove(connection, name, with_results=True)
        assert "worklists with its images, and what readers said of them: doubtful" in (
            remove(connection, names[-1], with_results=True).lines()
        )
        left = {
            table.name
            for table in Base.metadata.sorted_tables
            if connection.scalar(select(func.count()).select_from(table))
        }
        assert left - STAY == set()


def test_a_worklist_keeps_the_images_of_other_datasets(engine: Engine, tmp_path: Path) -> None:
    for name in ("goes", "stays"):
        register_own(engine, tmp_path, name, tmp_path / name, site=name)
    added = Rows(engine)
    worklist = added.add("worklist", name="both", task_id=0)
    with engine.begin() as connection:
        images = connection.scalars(text("select id from image where name = 'i3' order by id")).all()
    for position, image in enumerate(images, 1):
        added.add("worklist_image", worklist_id=worklist, position=position, image_id=image)
        added.add("worklist_read", worklist_id=worklist, position=position, reader="anna", answer="yes")
    with pytest.raises(DataError, match="worklists with its images, and what readers said of them: both"):
        take_away(engine, "goes")
    take_away(engine, "goes", with_results=True)
    with engine.begin() as connection:
        assert connection.execute(text("select site, position from reads")).all() == [("stays", 2)]


def test_an_image_shared_with_another_site_stays_with_its_patient(engine: Engine, tmp_path: Path) -> None:
    """The canonical image of a picture, and the site of its patient, are the first: these may go."""
    register_own(engine, tmp_path, "first", tmp_path / "a", site="first")
    with engine.begin() as connection:
        keys = read_named(connection, "first").table.keys
    register_own(engine, tmp_path, "second", tmp_path / "b", site="second")
    register_own(engine, tmp_path, "third", tmp_path / "c", site="third")
    take_away(engine, "first")
    with engine.begin() as connection:
        for name in ("second", "third"):
            assert read_named(connection, name).table.keys.tolist() == keys.tolist()
        own = "select count(*) filter (where canonical_id = id), count(*), count(distinct canonical_id) from image"
        assert connection.execute(text(own)).one() == (20, 40, 20)
        assert [outcome.audit.name for outcome in run_audits(connection) if outcome.rows] == []
    take_away(engine, "second")
    take_away(engine, "third")
    assert set(rows(engine).values()) == {0}


def test_frozen_rows_can_be_deleted_only_by_a_removal(engine: Engine, tmp_path: Path) -> None:
    register_own(engine, tmp_path, "frozen", tmp_path / "f")
    for table in ("cohort_label", "cohort", "image_list"):
        with pytest.raises(Exception, match="frozen"), engine.begin() as connection:
            connection.execute(text(f"delete from {table}"))
    take_away(engine, "frozen")
    with pytest.raises(DataError, match="there is no dataset 'frozen'"):
        take_away(engine, "frozen")


def test_pictures_are_read_from_the_new_folder_and_nothing_is_prepared_again(
    engine: Engine, tmp_path: Path
) -> None:
    old, new = tmp_path / "disk", tmp_path / "elsewhere" / "deeper"
    register_own(engine, tmp_path, "moving", old)
    with engine.begin() as connection:
        pixel_cache(read_named(connection, "moving"), tmp_path, 16, "centre")
    prepared = sorted((tmp_path / "pixels").iterdir())
    new.parent.mkdir()
    shutil.move(old, new)
    assert relocate(engine, tmp_path, "moving", tmp_path / "elsewhere") == 20
    assert relocate(engine, tmp_path, "moving", tmp_path / "elsewhere") == 0
    with engine.begin() as connection:
        dataset = read_named(connection, "moving")
        pixel_cache(dataset, tmp_path, 16, "centre")
        assert sorted((tmp_path / "pixels").iterdir()) == prepared
        assert pixel_cache(dataset, tmp_path, 24, "centre")[np.arange(20)].shape == (20, 24, 24)
    take_away(engine, "moving")


def test_a_folder_with_other_or_missing_pictures_is_refused_and_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    register_own(engine, tmp_path, "asked", tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    draw(tmp_path / "there/7.png", 99)
    with pytest.raises(DataError, match=r"1 of 20 picture\(s\) differ from the registered ones.*7\.png"):
        relocate(engine, tmp_path, "asked", tmp_path / "there")
    (tmp_path / "there/7.png").unlink()
    with pytest.raises(DataError, match=r"1 of 20 picture\(s\) are not in .*first 7\.png"):
        relocate(engine, tmp_path, "asked", tmp_path / "there")
    with engine.begin() as connection:
        assert read_named(connection, "asked").table.rows["path"].str.startswith("here/").all()
    take_away(engine, "asked")
