"""Parts of what is to be computed of a study, for processes side by side: of one test cohort each, or cells of several."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from db.schema import Cohort, ImageList
from xray.analyses.analysis import Analysis
from xray.analyses.cells import Key
from xray.analyses.current import StoredCell
from xray.analyses.shared_scores import SharedScores
from xray.analyses.stored import Scored, StoredStudy
from xray.analyses.work import PartialWork, Stale, Within, Work
from xray.cores import cores

_log = logging.getLogger(__name__)

ENOUGH: Final = 20e6
"""Scores, as often as they are used: below that, about a second's work, processes cost more than they gain."""

MOST: Final = 4
"""Shares of what is of several test cohorts: each reads most models' scores, and keeps their ensembles."""

IN_COMMON: Final = 600_000_000
"""Bytes of scores that are read once for all parts, whatever the study."""


@dataclass(frozen=True)
class Part:
    """Analysis → stale cells of it. title: which part of the study. uses: the evaluations that they come from. scores: how
    many, as often as used; but points at home, of other test cohorts, cost next to nothing and don't count.
    """

    title: str
    keys: Mapping[str, Collection[Key]]
    uses: Collection[Scored]
    scores: int

    def of(self, work: Stale) -> list[Key]:
        """The stale cells of one analysis that are of this part."""
        keys = self.keys.get(work.analysis.name, ())
        return [key for key in work.stale if key in keys]


def to_compute(
    connection: Connection,
    study: StoredStudy,
    analyses: Sequence[Analysis],
    stored: Mapping[str, Mapping[Key, StoredCell]],
    within: Within | None = None,
) -> list[Work | PartialWork]:
    """What is stale of these analyses: rows, or where these are put together from values, those."""
    works: list[Work | PartialWork] = []
    for analysis in analyses:
        present = stored.get(analysis.name, {})
        if analysis.partial is None:
            works.append(Work(connection, study, analysis, present, within))
        elif Work(connection, study, analysis, present).is_stale:
            works.append(PartialWork(connection, study, analysis, analysis.partial, within))
    return [work for work in works if work.stale]


def divided(connection: Connection, study: StoredStudy, works: Sequence[Work | PartialWork]) -> list[Part]:
    """The stale cells that scores enter, in parts, the largest first; none where it is not worth it."""
    n_images = _images(connection, study)

    def of(title: str, cells: Mapping[Work | PartialWork, Sequence[Key]], cohorts: Collection[int]) -> Part:
        uses = Counter(e for work, keys in cells.items() for key in keys for e in work.cells[key].uses)
        scores = sum(n * n_images[e.cohort_id] for e, n in uses.items() if e.cohort_id in cohorts)
        keys = {work.analysis.name: frozenset(keys) for work, keys in cells.items()}
        return Part(title, keys, uses.keys(), scores * len(study.findings))

    parts = [
        *(
            of(name, {work: work.keys(name) for work in works}, [cohort])
            for name, cohort in study.cohorts.items()
        ),
        *(of(title, share, study.cohorts.values()) for title, share in _shares(works)),
    ]
    parts = [part for part in parts if part.scores]
    worth = len(parts) > 1 and sum(part.scores for part in parts) >= ENOUGH
    return sorted(parts, key=lambda part: -part.scores) if worth else []


def in_common(connection: Connection, study: StoredStudy, parts: Sequence[Part]) -> SharedScores | None:
    """Room for the scores that several parts use; None where there is none, and each reads for itself."""
    n_images = _images(connection, study)
    n_parts = Counter(evaluation for part in parts for evaluation in part.uses)
    lengths = {e.evaluation_id: n_images[e.cohort_id] for e in study.evaluations if n_parts[e] > 1}
    try:
        return SharedScores(lengths, len(study.findings), IN_COMMON)
    except (OSError, ValueError) as error:  # no memory or semaphore, or no forks on this system
        _log.debug("each part reads its scores for itself: %s", error)
        return None


def _shares(
    works: Sequence[Work | PartialWork],
) -> Iterator[tuple[str, dict[Work | PartialWork, list[Key]]]]:
    """What is of several test cohorts, in as many shares as there are cores; each reads the scores once for its cells."""
    cells = [(work, key) for work in works for key in work.keys(None)]
    n = min(cores(), MOST)
    for share in range(n):
        by_work: dict[Work | PartialWork, list[Key]] = {}
        for work, key in cells[share::n]:
            by_work.setdefault(work, []).append(key)
        yield f"several, {share + 1} of {n}", by_work


def _images(connection: Connection, study: StoredStudy) -> dict[int, int]:
    """Test cohort → how many images it has."""
    statement = select(Cohort.id, ImageList.length).join(ImageList, ImageList.id == Cohort.image_list_id)
    rows = connection.execute(statement.where(Cohort.id.in_(study.cohorts.values())))
    return {row.id: row.length for row in rows}
