"""What can be looked at: scorers (models and ensembles), datasets, findings, and what images can be filtered by."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from xray.explorer.addresses import Refused, View
from xray.explorer.asking import Database

FRESH_SECONDS: Final = 15.0
"""So long what is there is taken for known; after that it is read anew while pages still show what was there."""
OLD_SECONDS: Final = 30.0
"""From then on a page waits for what is there now."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scorer:
    """Whose scores a page shows: a model, or the ensemble of a configuration's seeds.

    name: as addresses have it. models: whose mean logit it is. study, trained_on, seed: under which its results stand, study
    None of a model that is in none.
    """

    name: str
    models: tuple[str, ...]
    study: str | None
    trained_on: str
    seed: int | None

    @property
    def title(self) -> str:
        """As people read it."""
        if len(self.models) > 1:
            return f"{self.name} (mean of {len(self.models)} seeds)"
        return (
            self.name
            if self.seed is None or self.name != self.models[0]
            else f"{self.name} (seed {self.seed})"
        )


Cell = tuple[str, str, str]
"""(dataset, finding, protocol)."""


@dataclass(frozen=True)
class Catalogue:
    """What the database holds, as of a moment."""

    scorers: dict[str, Scorer]
    cells: dict[str, tuple[Cell, ...]]
    """By model: where it was scored."""
    sites: dict[str, str]
    """By dataset."""
    values: dict[str, tuple[str, ...]]
    """By kind, view or sex."""
    columns: dict[str, tuple[str, ...]]
    """By dataset: the columns of its label files."""

    def scorer(self, name: str | None) -> Scorer:
        """The scorer of this name; the first where none is asked for. Raises `Refused`, 404, where there is none."""
        if name is None:
            first = next(iter(self.scorers.values()), None)
            if first is None:
                raise Refused(404, "nothing is scored yet: run a study (xray demo, xray study run FILE)")
            return first
        if name not in self.scorers:
            raise Refused(404, "there is no such model")
        return self.scorers[name]

    def cells_of(self, scorer: Scorer) -> list[Cell]:
        """Where a scorer has scores."""
        return list(dict.fromkeys(cell for model in scorer.models for cell in self.cells.get(model, ())))

    def settled(self, view: View) -> tuple[View, Scorer]:
        """A view of one cell with everything that it left open filled in. Raises `Refused`: no such model, dataset, …"""
        scorer = self.scorer(view.model)
        fitting = [
            cell
            for cell in self.cells_of(scorer)
            if all(
                value in (None, own)
                for value, own in zip((view.dataset, view.task, view.protocol), cell, strict=True)
            )
        ]
        if not fitting:
            raise Refused(404, "this model has no scores of such a dataset, finding and protocol")
        dataset, task, protocol = fitting[0]
        settled = replace(view, model=scorer.name, dataset=dataset, task=task, protocol=protocol)
        self._check_filters(settled)
        return settled, scorer

    def _check_filters(self, view: View) -> None:
        if view.other is not None:
            self.scorer(view.other)
        if view.other_dataset is not None and view.other_dataset not in self.sites:
            raise Refused(404, "other_dataset: there is no such dataset")
        for kind in ("view", "sex"):
            value = getattr(view, kind)
            if value is not None and value not in self.values.get(kind, ()):
                raise Refused(404, f"{kind}: no image has it")
        if view.column is not None and view.column not in self.columns.get(view.dataset or "", ()):
            raise Refused(404, "column: the dataset's label files have no such column")
        if view.column is None and (view.value_from or view.value_to):
            raise Refused(400, "values of a column need the column")

    def labellers_beside(self, dataset: str) -> list[str]:
        """Other datasets of the same site, which may label the same images."""
        site = self.sites.get(dataset)
        return [name for name, other in self.sites.items() if other == site and name != dataset]


@dataclass
class Shelf:
    """The catalogue, read again when it is older than some seconds."""

    database: Database
    _catalogue: Catalogue | None = None
    _read_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> Catalogue:
        """What is there now, or was some seconds ago."""
        with self._lock:
            age = time.monotonic() - self._read_at
            if self._catalogue is None or not self._catalogue.scorers or age > OLD_SECONDS:
                self._catalogue, self._read_at = read(self.database), time.monotonic()
            elif age > FRESH_SECONDS and self._reading.acquire(blocking=False):
                threading.Thread(target=self._renew, daemon=True).start()
            return self._catalogue

    def _renew(self) -> None:
        """Read anew while pages go on. What fails is said in the log, and tried again by the next page."""
        try:
            catalogue = read(self.database)
            with self._lock:
                self._catalogue, self._read_at = catalogue, time.monotonic()
        except Exception as error:
            _log.warning("the catalogue can't be refreshed: %s", error)
        finally:
            self._reading.release()


def read(database: Database) -> Catalogue:
    """Ask the database for everything that there is."""
    cells: dict[str, list[Cell]] = {}
    for row in database.rows("cells"):
        cells.setdefault(row.model, []).append((row.test_dataset, row.task, row.protocol))
    scorers = _scorers([row for row in database.rows("models") if row.model in cells])
    values: dict[str, list[str]] = {}
    columns: dict[str, list[str]] = {}
    for row in database.rows("choices"):
        (
            columns.setdefault(row.dataset, []) if row.kind == "column" else values.setdefault(row.kind, [])
        ).append(row.value)
    return Catalogue(
        {scorer.name: scorer for scorer in scorers},
        {model: tuple(listed) for model, listed in cells.items()},
        {row.dataset: row.site for row in database.rows("datasets")},
        {kind: tuple(listed) for kind, listed in values.items()},
        {dataset: tuple(listed) for dataset, listed in columns.items()},
    )


def _scorers(rows: Sequence[Any]) -> list[Scorer]:
    """The ensemble of each configuration, then its seeds where there are several; models from elsewhere by themselves."""
    grouped: dict[tuple[str | None, str], list[Any]] = {}
    for row in rows:
        key = (row.study, row.trained_on if row.kind == "trained" and row.study else f"\0{row.model}")
        grouped.setdefault(key, []).append(row)
    scorers = []
    for (study, _), models in grouped.items():
        first = models[0]
        if first.kind != "trained" or study is None:
            scorers.append(Scorer(first.model, (first.model,), study, first.trained_on, first.seed))
            continue
        scorers.append(
            Scorer(
                f"{study}.{first.trained_on}",
                tuple(row.model for row in models),
                study,
                first.trained_on,
                None,
            )
        )
        if len(models) > 1:
            scorers += [Scorer(row.model, (row.model,), study, row.trained_on, row.seed) for row in models]
    return scorers
