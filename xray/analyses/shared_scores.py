"""Scores that processes side by side have in common: what several of them need is read from the database once."""

import mmap
import multiprocessing
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from db.store import read_logits

Logits = NDArray[np.float32]

UNREAD: Final = 0
TAKEN: Final = 1
READ: Final = 2


class SharedScores:
    """Room for the logits of some evaluations, in memory that this process and its forks share; empty at first.

    lengths: evaluation → its number of images. n_tasks: of the study's findings. most: bytes; evaluations for which there is
    no room any more are read by each process that needs them.
    """

    def __init__(self, lengths: Mapping[int, int], n_tasks: int, most: int) -> None:
        self._places: dict[int, tuple[int, int, int]] = {}
        end = 0
        for number, (evaluation, n_images) in enumerate(lengths.items()):
            size = n_images * n_tasks
            if 4 * (end + size) <= most:
                self._places[evaluation] = number, end, end + size
                end += size
        self._n_tasks = n_tasks
        self._values = np.frombuffer(mmap.mmap(-1, 4 * end or 1), dtype=np.float32, count=end)
        self._states = mmap.mmap(-1, len(lengths) or 1)
        self._lock = multiprocessing.get_context(
            "fork"
        ).Lock()  # orders what is written before the state of it, too

    def read(
        self, connection: Connection, evaluations: Sequence[int], task_ids: Sequence[int]
    ) -> dict[int, Logits]:
        """Evaluation → logits (n_tasks, n_images), as of `read_logits`, not to be changed.

        What another process is reading comes last, when it is mostly there. Nobody waits for another: what is still not
        there is read twice.
        """
        logits = {}
        for evaluation in evaluations:
            if self._state(evaluation) != TAKEN:
                logits[evaluation] = self._one(connection, evaluation, task_ids)
        for evaluation in evaluations:
            if evaluation not in logits:
                logits[evaluation] = self._one(connection, evaluation, task_ids)
        return logits

    def _one(self, connection: Connection, evaluation: int, task_ids: Sequence[int]) -> Logits:
        if evaluation not in self._places:
            return read_logits(connection, evaluation, task_ids)
        number, start, stop = self._places[evaluation]
        values = self._values[start:stop].reshape(self._n_tasks, -1)
        if self._state(evaluation) != READ:
            self._set(number, TAKEN)
            logits = read_logits(connection, evaluation, task_ids)
            if logits.shape != values.shape:  # whoever uses it finds that it is not of its cohort's length
                return logits
            values[:] = logits
            self._set(number, READ)
        values.flags.writeable = False
        return values

    def _state(self, evaluation: int) -> int:
        if evaluation not in self._places:
            return UNREAD
        with self._lock:
            return self._states[self._places[evaluation][0]]

    def _set(self, number: int, state: int) -> None:
        with self._lock:
            self._states[number] = state
