"""Do two labellers call the same images positive? From labels alone (protocol §9)."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, text

from xray.data.registered import dataset_id
from xray.errors import DataError
from xray.stats.agreement import CrossTable, kappa, negative_agreement, pabak, positive_agreement
from xray.stats.estimates import Estimates


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % confidence interval; None where it is undefined, with the reason."""

    value: float | None
    lower: float | None
    upper: float | None
    reason: str | None


@dataclass(frozen=True)
class LabellerAgreement:
    """One task: images that both labellers called, the 2 × 2 table, and what follows from it."""

    task: str
    n: int
    both_positive: int
    first_only: int
    second_only: int
    both_negative: int
    kappa: Measure
    pabak: Measure
    positive_agreement: Measure
    negative_agreement: Measure


def labeller_agreement(connection: Connection, first: str, second: str) -> list[LabellerAgreement]:
    """Agreement of the labels of two datasets on the images that they share, per task that both speak of.

    Uncertain and not mentioned are left out. Raises `DataError` where there is no such dataset or nothing in common.
    """
    for name in (first, second):
        dataset_id(connection, name)
    rows = connection.execute(
        text("select * from labeller_agreement(:first, :second)"), {"first": first, "second": second}
    ).all()
    if not rows:
        raise DataError(f"{first} and {second} share no image that both label for the same task")
    cells = np.array([row[2:6] for row in rows], dtype=np.int64).T
    table = CrossTable(*cells)
    measures = [measure(table) for measure in (kappa, pabak, positive_agreement, negative_agreement)]
    return [
        LabellerAgreement(row[0], row[1], *row[2:6], *(_at(estimates, index) for estimates in measures))
        for index, row in enumerate(rows)
    ]


def _at(estimates: Estimates, index: int) -> Measure:
    numbers = [float(values[index]) for values in (estimates.value, estimates.lower, estimates.upper)]
    value, lower, upper = (None if number != number else number for number in numbers)
    return Measure(value, lower, upper, str(estimates.reason[index]) or None)
