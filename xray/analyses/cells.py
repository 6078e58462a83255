"""The cells of an analysis: what is computed, stored and goes stale together, and what each cell comes from.

A cell that is of one test cohort is computed with that cohort alone in memory. What its rows depend on beside the scores
and labels of `uses` stands in `facts`: a cell is stale where any of it, the code or the analysis's state has changed
(docs/decisions/0046).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from xray.analyses.arms import arms
from xray.analyses.stored import Scored, StoredStudy

Key = tuple[str, ...]
"""Names that tell one cell of an analysis from another; () where there is only one."""


@dataclass(frozen=True)
class Cell:
    """key: such as (test dataset, configuration). uses: the evaluations that its rows come from. facts: what else, as JSON
    has it.
    """

    key: Key
    uses: tuple[Scored, ...] = ()
    facts: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Unit:
    """How an analysis falls apart into cells.

    columns: of its rows, whose values are the key; cohort_id, or cohort_a_id, stands for the test dataset. at_home: whether
    it takes Youden points that are read off the configurations' own test cohorts.
    """

    cells: Callable[[StoredStudy], Iterator[Cell]]
    columns: tuple[str, ...] = ()
    at_home: bool = False

    def of(self, study: StoredStudy) -> list[Cell]:
        """The cells in the order of the study; one without rows where there is nothing to compute."""
        return list(self.cells(study)) or [Cell(())]

    @property
    def by_cohort(self) -> bool:
        """Whether each cell is of one test cohort, the first of its key."""
        return self.columns[:1] in (("cohort_id",), ("cohort_a_id",))

    def key(self, row: Mapping[str, Any], datasets: Mapping[int, str]) -> Key:
        """The cell of a row. datasets: cohort → its dataset."""
        return tuple(
            datasets[row[c]] if c in ("cohort_id", "cohort_a_id") else row[c] or "" for c in self.columns
        )


def _pairs(study: StoredStudy) -> Iterator[tuple[str, str]]:
    for dataset in study.cohorts:
        for name in study.scorers(dataset):
            yield dataset, name


def home(study: StoredStudy, name: str) -> list[str]:
    """The datasets on whose test cohorts a configuration's thresholds are read off at home."""
    return [dataset for dataset in study.configurations.get(name, ()) if study.scored(dataset, name)]


def home_scores(study: StoredStudy, name: str) -> tuple[Scored, ...]:
    """The evaluations that a configuration's thresholds at home come from."""
    return tuple(evaluation for dataset in home(study, name) for evaluation in study.scored(dataset, name))


def _all(study: StoredStudy) -> Iterator[Cell]:
    for dataset, name in _pairs(study):
        yield Cell((dataset, name), study.scored(dataset, name))


def _each_with_findings(study: StoredStudy) -> Iterator[Cell]:
    for cell in _all(study):
        yield Cell(cell.key, cell.uses, (study.labelled,))


def _each_and_readers(study: StoredStudy) -> Iterator[Cell]:
    for dataset in study.cohorts:
        yield Cell((dataset, ""), (), (study.cohorts[dataset],))
    yield from _all(study)


def _each_at_home(study: StoredStudy) -> Iterator[Cell]:
    for dataset, name in _pairs(study):
        uses = study.scored(dataset, name) + home_scores(study, name)
        yield Cell((dataset, name), uses, (home(study, name),))


def _each_against(study: StoredStudy) -> Iterator[Cell]:
    for dataset, name in _pairs(study):
        reference = study.reference_at(dataset)
        uses = study.scored(dataset, name)
        uses += study.scored(dataset, reference) if reference != name else ()
        yield Cell((dataset, name), uses, (reference,))


def _each_against_at_home(study: StoredStudy) -> Iterator[Cell]:
    for cell in _each_against(study):
        name = cell.key[1]
        yield Cell(cell.key, cell.uses + home_scores(study, name), (*cell.facts, home(study, name)))


def _arms(study: StoredStudy) -> Iterator[Cell]:
    for dataset in study.cohorts:
        playing = arms(study, dataset)
        uses = tuple(evaluation for name in playing.values() for evaluation in study.scored(dataset, name))
        yield Cell((dataset,), uses, (list(playing.items()),))


def singles(study: StoredStudy) -> list[str]:
    """The configurations of one dataset each, and the models from elsewhere."""
    return [
        *(name for name, datasets in study.configurations.items() if len(datasets) == 1),
        *study.foreign,
    ]


def _pooled(study: StoredStudy) -> Iterator[Cell]:
    for pair in combinations(singles(study), 2):
        datasets = [d for d in study.cohorts if all(study.scored(d, name) for name in pair)]
        uses = tuple(e for d in datasets for name in pair for e in study.scored(d, name))
        facts = [home(study, name) for name in pair]
        if datasets:
            yield Cell(pair, uses + tuple(e for n in pair for e in home_scores(study, n)), (facts,))


def _own_pairs(study: StoredStudy) -> Iterator[Cell]:
    own_model = {dataset: study.trained_on_exactly((dataset,)) for dataset in study.cohorts}
    for pair in combinations(study.cohorts, 2):
        scores = [study.scored(dataset, own_model[d]) for dataset in pair for d in pair]
        if all(scores):
            yield Cell(pair, tuple(e for several in scores for e in several), ([own_model[d] for d in pair],))


def _away(study: StoredStudy) -> Iterator[Cell]:
    for cell in _each_at_home(study):
        dataset, name = cell.key
        if dataset in away(study, name):
            yield cell


def _each_away(study: StoredStudy) -> Iterator[Cell]:
    for name in study.names:
        datasets = away(study, name)
        uses = tuple(scores for dataset in datasets for scores in study.scored(dataset, name))
        if uses:
            sites = [(dataset, study.datasets[dataset]) for dataset in datasets]
            yield Cell((name,), uses + home_scores(study, name), (sites, home(study, name)))


def away(study: StoredStudy, name: str) -> list[str]:
    """The datasets that a configuration was scored on and that are of no site of its own."""
    own_sites = {
        study.datasets[dataset] for dataset in study.configurations.get(name, ()) if dataset in study.cohorts
    }
    return [d for d in study.cohorts if study.scored(d, name) and study.datasets[d] not in own_sites]


def _whole(names: Callable[[StoredStudy], Sequence[str]]) -> Callable[[StoredStudy], Iterator[Cell]]:
    """One cell, of everything that some configurations scored, and all that a study says."""

    def cells(study: StoredStudy) -> Iterator[Cell]:
        chosen_names = set(names(study))
        cohorts = set(study.cohorts.values())
        uses = tuple(e for e in study.evaluations if e.trained_on in chosen_names and e.cohort_id in cohorts)
        yield Cell((), uses, _about(study))

    return cells


def _about(study: StoredStudy) -> tuple[Any, ...]:
    datasets, configurations = list(study.datasets.items()), list(study.configurations.items())
    return datasets, configurations, sorted(study.guests), sorted(study.partial)


MODEL: Final = Unit(_all, ("cohort_id", "trained_on"))
MODEL_WITH_FINDINGS: Final = Unit(_each_with_findings, ("cohort_id", "trained_on"))
MODEL_AND_READERS: Final = Unit(_each_and_readers, ("cohort_id", "trained_on"))
MODEL_AT_HOME: Final = Unit(_each_at_home, ("cohort_id", "trained_on"), at_home=True)
MODEL_AGAINST: Final = Unit(_each_against, ("cohort_id", "trained_on"))
MODEL_AGAINST_AT_HOME: Final = Unit(_each_against_at_home, ("cohort_id", "trained_on"), at_home=True)
ARMS: Final = Unit(_arms, ("cohort_id",))
POOLED: Final = Unit(_pooled, ("trained_on_a", "trained_on_b"), at_home=True)
NOTHING: Final = Unit(lambda study: iter([Cell(())]))
"""One cell that no score enters: its state says what it comes from."""
OWN_PAIRS: Final = Unit(_own_pairs)
SITES: Final = Unit(_each_away, ("trained_on",), at_home=True)
AWAY: Final = Unit(_away, ("cohort_id", "trained_on"), at_home=True)
SINGLE: Final = Unit(_whole(lambda study: [name for name in singles(study) if name not in study.foreign]))
ELSEWHERE: Final = Unit(_whole(lambda study: singles(study) if study.foreign else ()))
