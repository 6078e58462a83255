"""What a study asks of verdicts on models from elsewhere, and what these depend on; imports no statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from db.queries import query
from xray.stats.shipped import VARIANTS, fingerprint, reads_fingerprint
from xray.study import LOSS_RATIO

if TYPE_CHECKING:
    from xray.analyses.rereads import Key, Reads
    from xray.analyses.stored import StoredStudy


@dataclass(frozen=True)
class Asked:
    """What a study's file and its models' cards say: the reference or "", the loss ratio, model → datasets it knows.

    reads: what people said of its images by rules of another of its datasets, as planned.
    """

    reference: str = ""
    loss_ratio: float = LOSS_RATIO
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reads: "Mapping[Key, Sequence[Reads]]" = field(default_factory=dict)


def asked(connection: Connection, study: "StoredStudy") -> Asked:
    """What the study asks. A part of a dataset that a model knows, as nih/train, stands for the dataset."""
    from xray.analyses.rereads import stored_reads

    rows = connection.execute(text(query("causes_asked")), {"study_id": study.id}).all()
    if not rows:
        return Asked()
    homes = {row.model: tuple(dict.fromkeys(name.split("/")[0] for name in row.datasets)) for row in rows}
    reads = stored_reads(connection, _cohorts(study), study.task_ids)
    return Asked(rows[0].reference or "", rows[0].loss_ratio or LOSS_RATIO, homes, reads)


def _cohorts(study: "StoredStudy") -> list[int]:
    return sorted({each.cohort_id for each in study.evaluations})


def asked_state(connection: Connection, study: "StoredStudy") -> Sequence[Any]:
    """What verdicts depend on beside scores and code: what is asked, what was read again, and coefficients."""
    ask = asked(connection, study)
    hashes = [fingerprint(variant) for variant in VARIANTS.values()] if ask.homes else []
    read = (
        connection.execute(text(query("reread_state")), {"cohort_ids": _cohorts(study)}).all()
        if ask.homes
        else []
    )
    said = [[row.worklist_id, row.answers] for row in read]
    return [
        ask.reference,
        ask.loss_ratio,
        sorted(ask.homes.items()),
        hashes,
        *([said, reads_fingerprint()] if said else []),
    ]
