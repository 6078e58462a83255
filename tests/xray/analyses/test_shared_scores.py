"""Scores that several processes need are read once: the same as from the database, whoever reads and whoever fails."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from db.store import read_logits
from tests.xray.analyses.conftest import World
from xray.analyses import parallel, parts, run, shared_scores
from xray.analyses.run import ANALYSES
from xray.analyses.shared_scores import READ, TAKEN, SharedScores
from xray.analyses.stored import StoredStudy, load_study

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def study(two_sites: World) -> StoredStudy:
    with two_sites.engine.connect() as connection:
        return load_study(connection, "test")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Evaluations that were read from the database, in order, also by forks."""
    with FORK.Manager() as manager:
        numbers: Any = manager.list()

        def noted(connection: Any, evaluation: int, task_ids: Any) -> Any:
            numbers.append(evaluation)
            return read_logits(connection, evaluation, task_ids)

        monkeypatch.setattr(shared_scores, "read_logits", noted)
        monkeypatch.setattr("xray.analyses.stored.read_logits", noted)
        yield numbers


def shared(study: StoredStudy, most: int = 10**9) -> SharedScores:
    return SharedScores({e.evaluation_id: 60 for e in study.evaluations}, len(study.findings), most)


@contextmanager
def fork(function: Callable[[], Any]) -> Iterator[Any]:
    process = FORK.Process(target=function)
    process.start()
    yield process
    process.join(60)
    assert not process.is_alive()


def test_what_one_process_has_read_is_there_for_the_others(
    two_sites: World, study: StoredStudy, reads: list[int]
) -> None:
    numbers = [e.evaluation_id for e in study.evaluations]
    scores = shared(study)

    def read() -> None:
        with create_engine(two_sites.engine.url, poolclass=NullPool).connect() as own:
            scores.read(own, numbers[:3], study.task_ids)

    with fork(read):
        pass
    assert list(reads) == numbers[:3]
    with two_sites.engine.connect() as connection:
        logits = scores.read(connection, numbers, study.task_ids)
        assert list(reads) == numbers
        for number in numbers:
            np.testing.assert_array_equal(
                logits[number], read_logits(connection, number, study.task_ids), strict=True
            )
    with pytest.raises(ValueError, match="read-only"):
        logits[numbers[0]][0, 0] = 1


def test_what_others_are_reading_comes_last_and_is_read_though_they_were_killed(
    two_sites: World, study: StoredStudy, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [e.evaluation_id for e in study.evaluations]
    scores = shared(study)

    def end(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def read() -> None:
        monkeypatch.setattr(shared_scores, "read_logits", end)
        scores.read(None, numbers[1:2], study.task_ids)  # type: ignore[arg-type]

    with fork(read):
        pass
    assert scores._state(numbers[1]) == TAKEN
    with two_sites.engine.connect() as connection:
        logits = scores.read(connection, numbers[:3], study.task_ids)
        assert list(reads) == [numbers[0], numbers[2], numbers[1]]
        expected = read_logits(connection, numbers[1], study.task_ids)
    np.testing.assert_array_equal(logits[numbers[1]], expected)


def test_scores_are_told_to_be_there_when_they_are(
    two_sites: World, study: StoredStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = study.evaluations[0].evaluation_id
    scores, states = shared(study), []

    def noted(connection: Any, evaluation: int, task_ids: Any) -> Any:
        states.append(scores._state(evaluation))
        logits = read_logits(connection, evaluation, task_ids)
        return logits[:, :-1] if len(states) == 1 else logits

    monkeypatch.setattr(shared_scores, "read_logits", noted)
    with two_sites.engine.connect() as connection:
        for length in (59, 60):  # of another length they are not kept
            assert scores.read(connection, [number], study.task_ids)[number].shape[1] == length
        assert scores._state(number) == READ
    assert states == [TAKEN, TAKEN]


def test_without_memory_in_common_each_part_reads_for_itself(
    two_sites: World, study: StoredStudy, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(12, "no memory")

    monkeypatch.setattr(shared_scores.mmap, "mmap", refuse)
    monkeypatch.setattr(parts, "ENOUGH", 0)
    for module in (parts, parallel):
        monkeypatch.setattr(module, "cores", lambda: 2)
    run.run(two_sites.engine, "test", ANALYSES, in_parts=True)
    assert set(reads) == {e.evaluation_id for e in study.evaluations}
    assert not any(run.run(two_sites.engine, "test", ANALYSES).values())


def test_what_there_is_no_room_for_is_read_by_each(
    two_sites: World, study: StoredStudy, reads: list[int]
) -> None:
    numbers = [e.evaluation_id for e in study.evaluations][:3]
    scores = shared(study, most=2 * 4 * 60 * len(study.findings))
    with two_sites.engine.connect() as connection:
        for _ in range(2):
            logits = scores.read(connection, numbers, study.task_ids)
        np.testing.assert_array_equal(logits[numbers[2]], read_logits(connection, numbers[2], study.task_ids))
    assert list(reads) == [*numbers, numbers[2]]
    empty = SharedScores({}, len(study.findings), 10**9)
    with two_sites.engine.connect() as connection:
        assert empty.read(connection, [], study.task_ids) == {}


def test_parts_read_each_evaluation_about_once(
    two_sites: World, study: StoredStudy, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ENOUGH", 0)
    for module in (parts, parallel):
        monkeypatch.setattr(module, "cores", lambda: 2)
    run.run(two_sites.engine, "test", ANALYSES, in_parts=True)
    in_common = list(reads)
    assert set(in_common) == {e.evaluation_id for e in study.evaluations}
    assert len(in_common) <= len(set(in_common)) + 4, "twice where both processes began one at once"
