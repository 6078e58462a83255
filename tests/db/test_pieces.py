"""Vectors of an earlier schema are cut into pieces, and joined again, without a number changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import databases, owned
from db.migrate import downgrade, upgrade
from db.schema import PIECE
from db.store import put_image_list, read_logits
from tests.db.conftest import Rows


def test_piece_length_is_the_same_in_database_and_code(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("select piece_length()")) == PIECE


def test_scores_survive_a_downgrade_to_one_vector_and_an_upgrade(engine: Engine, rows: Any) -> None:
    length = PIECE + 7
    site = rows.site()
    with engine.begin() as connection:
        statement = text(
            "insert into image (site_id, name) select :s, 'i' || n from generate_series(1, :n) n returning id"
        )
        ids = np.array(connection.scalars(statement, {"s": site, "n": length}).all(), dtype=np.int32)
        listed = put_image_list(connection, "list", ids)
    protocol = rows.protocol()
    rows.cohort(rows.dataset("nih", site, listed), protocol, listed, {7: ([1, None, 0] * length)[:length]})
    logits = np.random.default_rng(0).normal(size=length).astype(np.float32)
    logits[5] = np.nan
    evaluation = rows.evaluation(rows.model(protocol, [7]), listed, {7: logits.tolist()})
    everything = text("select image, logit, label from predictions order by image")
    with engine.connect() as connection:
        before = connection.execute(everything).all()
    downgrade(engine, "0009")
    with engine.connect() as connection:
        vector = connection.scalar(text("select logits from prediction where task_id = 7"))
        np.testing.assert_array_equal(np.float32(vector), logits)
        assert connection.scalar(text("select count(*) from prediction where logits is null")) == 17
    upgrade(engine)
    with engine.begin() as connection:
        assert connection.execute(everything).all() == before
        np.testing.assert_array_equal(read_logits(connection, evaluation, range(18))[7], logits)
        assert len(before) == length


def test_a_writer_updates_the_statistics_of_small_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autovacuum never makes them, and a writer may not by itself; without them the planner joins row by row."""
    monkeypatch.delenv("XRAY_DATABASE_URL", raising=False)
    with databases(tmp_path) as urls, owned(tmp_path) as owner:
        rows = Rows(create_engine(urls.xray, poolclass=NullPool))
        site = rows.site()
        listed = rows.image_list(rows.images(site, ["a", "b"]))
        protocol = rows.protocol()
        rows.cohort(rows.dataset("nih", site, listed), protocol, listed, {7: [1, 0]})
        rows.evaluation(rows.model(protocol, [7]), listed, {7: [0.5, 1.5]})
        with create_engine(owner.xray, poolclass=NullPool).connect() as connection:
            estimates = (
                "select relname, reltuples from pg_class where relname in ('cohort', 'model', 'listed_image')"
            )
            assert dict(connection.execute(text(estimates)).all()) == {
                "cohort": 1,
                "model": 1,
                "listed_image": 2,
            }
