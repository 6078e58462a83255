"""The answer first: for each finding and site whether models from elsewhere work, what fails and why, and caveats."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from xray.report.causes import findings
from xray.report.grids import PERFORMANCE, Record, number_or_none, records, task_order, text_or_none
from xray.report.limits import FEW, LOST, MOST, USEFUL
from xray.report.why import BLAMED, NO_VERDICT, Why, blame, cause_of, without_verdict
from xray.report.words import interval, leaks, number, number_of, task_name

WORKS: Final = "works"
FAILS: Final = "fails"
CANNOT_SAY: Final = "cannot say"
VERDICTS: Final = "What changed from the reference"
SPOKEN: Final = 3
"""So many verdicts are on the first screen in full."""
LISTED: Final = 6
"""So many failures are on the first screen; the others are folded behind them."""


@dataclass(frozen=True)
class Judged:
    """A model's judgement at a site for one finding. note: why it can't be judged. loss: AUC at home minus here."""

    model: str
    task: str
    site: str
    state: str
    note: str = ""
    auc: float | None = None
    between: tuple[float, float] | None = None
    home: float | None = None
    loss: float | None = None
    n: int = 0
    n_pos: int = 0
    why: Why = NO_VERDICT

    @property
    def sentence(self) -> str:
        """The numbers in one line."""
        if self.auc is None:
            return f"{self.model}: {self.note}"
        loss = "" if self.loss is None else f", loss against home {number(self.loss, 2)}"
        numbers = f"AUC {number(self.auc, 2)} (95% interval {interval(self.between, 2)}){loss}"
        note = f": {self.note}" if self.note else ""
        return f"{self.model} {self.state}{note}; {numbers}; {self.n:,} images, {self.n_pos:,} positive"


@dataclass(frozen=True)
class Row:
    """A finding of the models that were trained here, or of one from elsewhere (`model`, where there are others too)."""

    task: str
    model: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return f"{task_name(self.task)}, {self.model}" if self.model else task_name(self.task)


@dataclass(frozen=True)
class Cell:
    """What is said of one row at one site, of the models that were brought there."""

    row: Row
    site: str
    state: str
    detail: str
    models: tuple[Judged, ...]


@dataclass(frozen=True)
class Answer:
    """tasks, sites: rows and columns of `cells`, findings that fail at most sites first. failures: a sentence each, the
    largest loss first. unsure: what can't be said, and single models that fail where most work. warnings: what to beware
    of. verdicts: what changed between the reference and each site, of models from elsewhere."""

    rows: tuple[Row, ...]
    sites: tuple[str, ...]
    cells: Mapping[tuple[Row, str], Cell]
    failures: tuple[str, ...]
    unsure: tuple[str, ...]
    warnings: tuple[str, ...]
    verdicts: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        if not self.cells:
            return "Nothing can be said: no model was tested at a site other than its own."
        unclear = sum(cell.state == CANNOT_SAY for cell in self.cells.values())
        failing = [cell for cell in self.cells.values() if cell.state == FAILS]
        names = {site: [c.row.name for c in failing if c.site == site] for site in self.sites}
        places_of_failure = [f"at {site} ({'; '.join(rows)})" for site, rows in names.items() if rows]
        claim = (
            f"Models from elsewhere fail {_listed(places_of_failure)}"
            if places_of_failure
            else "No model from elsewhere is shown to fail"
        )
        return f"{claim}: {len(failing)} of {number_of(len(self.cells), 'cell')}; for {unclear} it can't be said."


def _gravest_first(rows: Iterable[Row], cells: Iterable[Cell]) -> tuple[Row, ...]:
    """Findings that fail at most sites first, then those of which most can't be said; rows of one stay together."""
    counts = Counter((cell.row.task, cell.state) for cell in cells)
    return tuple(sorted(rows, key=lambda row: (-counts[row.task, FAILS], -counts[row.task, CANNOT_SAY])))


def answer(
    performance: pd.DataFrame,
    verdicts: pd.DataFrame,
    set_aside: Sequence[str] = (),
    causes: pd.DataFrame | None = None,
) -> Answer:
    """The answer from stored rows.

    performance: columns `grids.PERFORMANCE`, also warning and foreign. verdicts: rows of images or labels. set_aside:
    warnings about files. causes: rows of verdicts on models from elsewhere (`causes.COLUMNS`). Raises AnalysisError for
    missing columns.
    """
    causes = pd.DataFrame() if causes is None else causes
    rows = [row for row in records(performance, PERFORMANCE, "performance") if pd.isna(row["seed"])]
    if not rows:
        return Answer((), (), {}, (), (), tuple(set_aside))
    sites = tuple(dict.fromkeys(str(row["test_dataset"]) for row in rows))
    tasks = task_order(str(row["task"]) for row in rows)
    home = {(row["trained_on"], row["task"]): row for row in rows if row["trained_on"] == row["test_dataset"]}
    reasons = _by_model([*verdicts.to_dict("records"), *causes.to_dict("records")])
    own_sites = [site for site in sites if any(row["trained_on"] == site for row in rows)]
    judgements = []
    for row in _brought(rows, sites):
        model, site, task = str(row["trained_on"]), str(row["test_dataset"]), row["task"]
        verdict = reasons.get((model, site, task))
        tested_at = sorted({str(r["test_dataset"]) for r in rows if r["trained_on"] == model})
        reason = (
            without_verdict(model, site, bool(row.get("foreign", False)), tested_at, own_sites)
            if verdict is None
            else cause_of(verdict)
        )
        judgements.append(_judge(row, _auc_at_home(home.get((model, task)), verdict), verdict, reason))
    tasks_with_auc = {judgement.task for judgement in judgements if judgement.auc is not None}
    unknown = [task for task in tasks if tasks_with_auc and task not in tasks_with_auc]
    lines = _rows(
        tasks, judgements, {str(row["trained_on"]) for row in rows if bool(row.get("foreign", False))}
    )
    cells = {
        (line, site): _cell(line, site, models)
        for line, of_it in lines.items()
        for site in sites
        if line.task not in unknown and (models := [j for j in of_it if j.site == site])
    }
    failing = sorted((c for c in cells.values() if c.state == FAILS), key=lambda c: -_worst(c))
    return Answer(
        _gravest_first((line for line in lines if line.task not in unknown), cells.values()),
        sites,
        cells,
        tuple(_failure(cell) for cell in failing),
        (*_single(cells.values()), *_unsure(cells.values()), *_unknown(unknown, judgements)),
        (*_warnings([row for row in rows if row["task"] not in unknown]), *set_aside),
        tuple(findings(causes)) if len(causes) else (),
    )


def _rows(
    tasks: Sequence[str], judgements: Sequence[Judged], foreign: Collection[str]
) -> dict[Row, list[Judged]]:
    """Rows in order, each with its models: those trained here by their majority, each from elsewhere by itself."""
    several = len({judgement.model if judgement.model in foreign else "" for judgement in judgements}) > 1
    lines: dict[Row, list[Judged]] = {}
    for task in tasks:
        for judgement in (j for j in judgements if j.task == task):
            line = Row(task, judgement.model if several and judgement.model in foreign else "")
            lines.setdefault(line, []).append(judgement)
    return lines


def _by_model(verdicts: Sequence[Record]) -> dict[tuple[str, str, str], Record]:
    """Verdicts by model, site and finding; of several homes the one with the largest loss."""
    rows = sorted(verdicts, key=lambda row: number_or_none(row["auc_drop"]) or 0.0)
    return {
        (r.get("trained_on_a", r.get("trained_on", r["train_dataset"])), r["test_dataset"], r["task"]): r
        for r in rows
    }


def _auc_at_home(home: Record | None, verdict: Record | None) -> float | None:
    """AUC of a model at home: on its own dataset's images, or one from elsewhere on those of its reference."""
    if home is not None:
        return number_or_none(home["auc"])
    if verdict is not None and bool(verdict.get("at_home", False)):
        return number_or_none(verdict["auc_a"])
    return None


def _brought(rows: Sequence[Record], sites: Sequence[str]) -> Sequence[Record]:
    """Rows of models of one other site each and of models from elsewhere; where there is none, of all but the site's own."""
    away = [row for row in rows if row["trained_on"] != row["test_dataset"]]
    single = [row for row in away if row["trained_on"] in sites or bool(row.get("foreign", False))]
    return single or away


def _judge(row: Record, home: float | None, verdict: Record | None, why: Why) -> Judged:
    auc, low, high = (number_or_none(row[name]) for name in ("auc", "lower", "upper"))
    n, n_pos = int(number_or_none(row["n"]) or 0), int(number_or_none(row["n_pos"]) or 0)
    loss, loss_low, loss_high = (
        number_or_none(verdict.get(name)) if verdict and home is not None else None
        for name in ("auc_drop", "drop_lower", "drop_upper")
    )
    bounds = None if low is None or high is None else (low, high)
    state, note = CANNOT_SAY, ""
    if auc is None:
        note = text_or_none(row["reason"]) or "undefined"
    elif text_or_none(row.get("warning")):
        note = "training saw the test"
    elif min(n_pos, n - n_pos) < FEW.value:
        note = f"fewer than {FEW.value} of a class"
    elif bounds is None:
        note = "no interval"
    elif bounds[1] < USEFUL.value or (loss is not None and loss >= LOST.value and (loss_low or 0) > 0):
        state = FAILS
    elif bounds[0] >= USEFUL.value and (loss_high is None or loss_high < LOST.value):
        state = WORKS
    else:
        note = "too few images to exclude a loss" if bounds[0] >= USEFUL.value else "interval crosses a limit"
    return Judged(
        str(row["trained_on"]), str(row["task"]), str(row["test_dataset"]), state, note, auc, bounds,
        home, loss, n, n_pos, why,
    )  # fmt: skip


def _cell(row: Row, site: str, models: Sequence[Judged]) -> Cell:
    """By the majority of its models trained for the finding; a cell without an AUC says why."""
    models = [model for model in models if model.auc is not None] or models
    count = {state: sum(model.state == state for model in models) for state in (WORKS, FAILS)}
    clear = sum(count.values())
    for state in (FAILS, WORKS):
        if count[state] > MOST.value * len(models):
            of_one = f"AUC {number(models[0].auc, 2)}" if len(models) == 1 else ""
            return Cell(row, site, state, of_one or f"{count[state]} of {len(models)}", tuple(models))
    notes = ", ".join(dict.fromkeys(model.note for model in models if model.note))
    several = ", ".join(f"{count[state]} {state}" for state in count if count[state])
    detail = f"{several} of {len(models)}" + (f"; {notes}" if notes else "") if clear else notes
    return Cell(row, site, CANNOT_SAY, detail, tuple(models))


def _worst(cell: Cell) -> float:
    return max((m.loss if m.loss is not None else 1 - (m.auc or 1) for m in _failing(cell)), default=0.0)


def _failing(cell: Cell) -> list[Judged]:
    return [model for model in cell.models if model.state == FAILS]


def _failure(cell: Cell) -> str:
    models = _failing(cell)
    auc_here = _span([m.auc for m in models])
    home = _span([m.home for m in models])
    at_home = f", at home {home}" if home else ""
    names = _listed([m.model for m in models])
    many = f"{len(models)} of {len(cell.models)}"
    if 1 < len(models) == len(cell.models):
        many = "both" if len(models) == 2 else f"all {len(models)}"
    subject = f"{many} models ({names})" if len(cell.models) > 1 else names
    return (
        f"{task_name(cell.row.task)} fails at {cell.site}: {subject} with AUC {auc_here}{at_home}. "
        + blame([m.why for m in models])
    )


def _single(cells: Iterable[Cell]) -> list[str]:
    """Models that fail where the majority does not, by model."""
    several: dict[tuple[str, tuple[str, ...]], dict[str, list[str]]] = {}
    for cell in cells:
        for model in _failing(cell) if cell.state != FAILS else ():
            at = several.setdefault((model.model, model.why.causes), {})
            at.setdefault(task_name(cell.row.task), []).append(cell.site)
    lines = []
    for (name, causes), at in several.items():
        failures = "; ".join(f"{task} at {_listed(sites)}" for task, sites in at.items())
        blamed = " and ".join(BLAMED[cause] for cause in causes)
        lines.append(
            f"{name}'s model alone fails: {failures}" + (f" (to blame: {blamed})." if blamed else ".")
        )
    return lines


def _unsure(cells: Iterable[Cell]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.state == CANNOT_SAY:
            reasons.setdefault(cell.detail, []).append(f"{cell.row.name} at {cell.site}")
    return [f"Cannot say, {reason}: {', '.join(cells_of)}." for reason, cells_of in reasons.items()]


def _unknown(tasks: Sequence[str], judgements: Sequence[Judged]) -> list[str]:
    """Findings without an AUC anywhere, which have no row: why, in as few lines as there are combinations of reasons."""
    reasons: dict[str, list[str]] = {}
    for task in tasks:
        notes = dict.fromkeys(judgement.note for judgement in judgements if judgement.task == task)
        reasons.setdefault(" or ".join(sorted(notes)), []).append(task_name(task))
    return [f"No AUC at any site, {reason}: {', '.join(names)}." for reason, names in reasons.items()]


def _warnings(rows: Sequence[Record]) -> list[str]:
    leaks_of_rows = leaks(row.get("warning") for row in rows)
    lines = [f"Training saw the test, which flatters the model: {leak}." for leak in leaks_of_rows]
    few: dict[str, list[str]] = {}
    for row in rows:
        n, n_pos = number_or_none(row["n"]) or 0, number_or_none(row["n_pos"]) or 0
        if n and min(n_pos, n - n_pos) < FEW.value:
            rare = few.setdefault(str(row["test_dataset"]), [])
            text = f"{task_name(str(row['task']))} ({n_pos:.0f} positive of {n:,.0f})"
            rare += [] if text in rare else [text]
    lines += [f"Fewer than {FEW.value} of a class at {site}: {', '.join(t)}." for site, t in few.items()]
    return lines


def _span(values: Iterable[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    low, high = number(min(numbers), 2), number(max(numbers), 2)
    return low if low == high else f"{low} to {high}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
