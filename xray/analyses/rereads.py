"""What people said of a site's images by another site's rules, as planned: aligned with cohorts, for verdicts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.reads import STATES, majority
from xray.data.sources.base import NEGATIVE, POSITIVE
from xray.stats.estimates import FloatArray, IntArray
from xray.stats.reread_design import Design

Key = tuple[int, int, int]
"""Reference cohort, cohort that was read, place of the finding in the study's list."""


@dataclass(frozen=True)
class Reads:
    """Of one plan: strata of all images of the cohort, the images that were drawn and read, what most readers said of them
    (1, 0; NaN: a tie, or all unsure), and who read.
    """

    design: Design
    images: IntArray
    again: FloatArray
    readers: frozenset[str]


def stored_reads(
    connection: Connection, cohorts: Sequence[int], task_ids: Sequence[int]
) -> dict[Key, list[Reads]]:
    """What was read of the plans between these cohorts."""
    position_of = {number: at for at, number in enumerate(task_ids)}
    rows = connection.execute(text(query("reread_calls")), {"cohort_ids": list(cohorts)}).all()
    reads: dict[Key, list[Reads]] = defaultdict(list)
    for row in rows:
        if row.task_id not in position_of:
            continue
        key = (row.reference_cohort_id, row.cohort_id, position_of[row.task_id])
        calls = zip(row.positions, row.readers, row.answers, strict=True)
        reads[key].append(_reads(row.strata, row.sizes, row.drawn, calls))
    return dict(reads)


def _reads(
    strata: list[int], sizes: list[int], n_drawn: list[int], calls: "zip[tuple[int, str, str]]"
) -> Reads:
    states: dict[int, list[int]] = defaultdict(list)
    people = set()
    for position, reader, answer in calls:
        states[position - 1].append(STATES[answer])
        people.add(reader)
    votes = [majority(of_image) for of_image in states.values()]
    again = np.array([1.0 if v == POSITIVE else 0.0 if v == NEGATIVE else np.nan for v in votes])
    design = Design(np.array(strata), np.array(sizes), np.array(n_drawn))
    return Reads(design, np.array(list(states), dtype=np.int64), again, frozenset(people))
