"""A dataset is taken away whole, never with what others stand on; and its pictures may move."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from tests.xray.data.test_register import add, draw, manifest
from xray.data.pictures import pixel_cache
from xray.data.register import Registration
from xray.data.registered import read_named
from xray.data.relocate import relocate
from xray.data.remove import hanging, remove
from xray.errors import DataError

TABLES = """
    site image image_list dataset cohort cohort_label cohort_label_piece label source_term native_column label_rule
    quarantine evaluation prediction listed_image analysis model training_cohort study_dataset leakage
"""


def rows(engine: Engine) -> dict[str, int]:
    with engine.begin() as connection:
        return {t: connection.scalar(text(f"select count(*) from {t}")) or 0 for t in TABLES.split()}


def mine(engine: Engine, home: Path, name: str, folder: Path, site: str = "removed-site") -> Registration:
    labels = folder / "labels.csv" if folder.exists() else manifest(folder)
    return add(engine, name, labels, folder, source="manifest", site=site, home=home)


def take_away(engine: Engine, name: str, **options: bool) -> None:
    with engine.begin() as connection:
        remove(connection, name, **options)


def test_a_removed_dataset_leaves_nothing_and_can_be_registered_otherwise(
    engine: Engine, tmp_path: Path
) -> None:
    before = rows(engine)
    mine(engine, tmp_path, "wrong", tmp_path / "w")
    take_away(engine, "wrong")
    assert rows(engine) == before
    labels = (tmp_path / "w/labels.csv").read_text().replace("Mass", "Hernia")
    (tmp_path / "w/labels.csv").write_text(labels)
    assert not mine(engine, tmp_path, "wrong", tmp_path / "w").unchanged
    take_away(engine, "wrong")


def test_images_of_another_dataset_stay(engine: Engine, tmp_path: Path) -> None:
    mine(engine, tmp_path, "stays", tmp_path / "s")
    before = rows(engine)
    text_ = (tmp_path / "s/labels.csv").read_text().replace("Mass", "Hernia")
    (tmp_path / "s/other.csv").write_text(text_)
    add(engine, "goes", tmp_path / "s/other.csv", tmp_path / "s", source="manifest", site="removed-site")
    take_away(engine, "goes")
    assert rows(engine) == before
    with engine.begin() as connection:
        assert len(read_named(connection, "stays").image_ids) == 20
    take_away(engine, "stays")


def test_results_go_only_when_asked(engine: Engine, tmp_path: Path) -> None:
    before = rows(engine)
    mine(engine, tmp_path, "scored", tmp_path / "r")
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
    with pytest.raises(DataError, match="--with-results takes them away too:\n  evaluations of its images"):
        take_away(engine, "scored")
    take_away(engine, "scored", with_results=True)
    with engine.begin() as connection:
        connection.execute(text("delete from model where id = :model"), {"model": model})
    assert rows(engine) == before


def test_frozen_rows_stay_frozen_outside_a_removal(engine: Engine, tmp_path: Path) -> None:
    mine(engine, tmp_path, "frozen", tmp_path / "f")
    for table in ("cohort_label", "cohort", "image_list"):
        with pytest.raises(Exception, match="frozen"), engine.begin() as connection:
            connection.execute(text(f"delete from {table}"))
    take_away(engine, "frozen")
    with pytest.raises(DataError, match="there is no dataset 'frozen'"):
        take_away(engine, "frozen")


def test_pictures_are_found_at_their_new_place_and_nothing_is_prepared_anew(
    engine: Engine, tmp_path: Path
) -> None:
    old, new = tmp_path / "disk", tmp_path / "elsewhere" / "deeper"
    mine(engine, tmp_path, "moving", old)
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


def test_a_place_with_other_or_missing_pictures_is_refused_and_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    mine(engine, tmp_path, "asked", tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    draw(tmp_path / "there/7.png", 99)
    with pytest.raises(
        DataError, match=r"1 of 20 picture\(s\) show something else than is registered.*7\.png"
    ):
        relocate(engine, tmp_path, "asked", tmp_path / "there")
    (tmp_path / "there/7.png").unlink()
    with pytest.raises(DataError, match=r"1 of 20 picture\(s\) are not in .*first 7\.png"):
        relocate(engine, tmp_path, "asked", tmp_path / "there")
    with engine.begin() as connection:
        assert read_named(connection, "asked").table.rows["path"].str.startswith("here/").all()
    take_away(engine, "asked")
