"""What a study asks of verdicts on models from elsewhere, and what these depend on; imports no statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from db.queries import query
from xray.stats.shipped import VARIANTS, fingerprint
from xray.study import LOSS_RATIO

if TYPE_CHECKING:
    from xray.analyses.stored import StoredStudy


@dataclass(frozen=True)
class Asked:
    """What a study's file and its models' cards say: the reference or "", the loss ratio, model → datasets it knows."""

    reference: str = ""
    loss_ratio: float = LOSS_RATIO
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def asked(connection: Connection, study: "StoredStudy") -> Asked:
    """What the study asks. A part of a dataset that a model knows, as nih/train, stands for the dataset."""
    rows = connection.execute(text(query("causes_asked")), {"study_id": study.id}).all()
    if not rows:
        return Asked()
    homes = {row.model: tuple(dict.fromkeys(name.split("/")[0] for name in row.datasets)) for row in rows}
    return Asked(rows[0].reference or "", rows[0].loss_ratio or LOSS_RATIO, homes)


def asked_state(connection: Connection, study: "StoredStudy") -> Sequence[Any]:
    """What verdicts depend on beside scores and code: what is asked, and the posterior's coefficients."""
    ask = asked(connection, study)
    hashes = [fingerprint(variant) for variant in VARIANTS.values()] if ask.homes else []
    return [ask.reference, ask.loss_ratio, sorted(ask.homes.items()), hashes]
