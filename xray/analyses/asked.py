"""What a study asks of verdicts on models from elsewhere, and what these depend on; imports no statistics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.intervened import Changed, Interventions, interventions
from xray.data.interventions import PIPELINE
from xray.stats.shipped import VARIANTS, fingerprint, pipelines_fingerprint, reads_fingerprint
from xray.study import LOSS_RATIO

if TYPE_CHECKING:
    from xray.analyses.rereads import Key, Reads
    from xray.analyses.stored import StoredStudy


@dataclass(frozen=True)
class Questions:
    """What a study's file and its models' cards say: the reference or "", the loss ratio, model → datasets it knows.

    reads: what people said of its images by rules of another of its datasets, as planned. piped: logits (n_images, n_tasks)
    of A's images through B's pipeline, by test cohorts of A and B and model.
    """

    reference: str = ""
    loss_ratio: float = LOSS_RATIO
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: "Mapping[Key, Sequence[Reads]]" = field(default_factory=dict)
    piped: Mapping[tuple[int, int, str], NDArray[np.float64]] = field(default_factory=dict)


def questions_of(connection: Connection, study: "StoredStudy") -> Questions:
    """What the study asks. A part of a dataset that a model knows, as nih/train, stands for the dataset."""
    from xray.analyses.rereads import stored_reads

    ask = _asking(connection, study)
    if not ask.homes:
        return ask
    stored = interventions(connection, study)
    piped = {
        (cohort, target, model): stored.logits(changed)
        for cohort, target, model, changed in _pipelines(stored)
        if isinstance(stored, Interventions)
    }
    return replace(ask, reads=stored_reads(connection, _cohorts(study), study.task_ids), piped=piped)


def _asking(connection: Connection, study: "StoredStudy") -> Questions:
    """As `asked`, without what was measured."""
    rows = connection.execute(text(query("causes_asked")), {"study_id": study.id}).all()
    if not rows:
        return Questions()
    homes = {row.model: tuple(dict.fromkeys(name.split("/")[0] for name in row.datasets)) for row in rows}
    return Questions(rows[0].reference or "", rows[0].loss_ratio or LOSS_RATIO, homes)


def _pipelines(stored: Interventions | Sequence[Any]) -> Iterator[tuple[int, int, str, Changed]]:
    """Test cohorts of A and B, configuration, and the scores of A's images through B's pipeline."""
    if isinstance(stored, Interventions):
        for (cohort, name), several in stored.of.items():
            for changed in several:
                if changed.kind == PIPELINE:
                    yield from ((cohort, target, name, changed) for target in changed.targets)


def _cohorts(study: "StoredStudy") -> list[int]:
    return sorted({evaluation.cohort_id for evaluation in study.evaluations})


def asked_state(connection: Connection, study: "StoredStudy") -> Sequence[Any]:
    """What verdicts depend on beside scores and code: what is asked, what was measured, and coefficients."""
    ask = _asking(connection, study)
    hashes, answers, piped = [], [], []
    if ask.homes:
        hashes = [fingerprint(variant) for variant in VARIANTS.values()]
        read = connection.execute(text(query("reread_state")), {"cohort_ids": _cohorts(study)}).all()
        answers = [[row.worklist_id, row.answers] for row in read]
        stored = interventions(connection, study)
        piped = [[*key, changed.ids] for *key, changed in _pipelines(stored) if key[2] in ask.homes]
    return [
        ask.reference,
        ask.loss_ratio,
        sorted(ask.homes.items()),
        hashes,
        *([answers, reads_fingerprint()] if answers else []),
        *([piped, pipelines_fingerprint()] if piped else []),
    ]
