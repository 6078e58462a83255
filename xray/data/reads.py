"""Reads of a worklist as the labels of a dataset: images of one site under another labeller.

From there on all is as with any dataset: cohorts are frozen, known images cost no inference, labellers are compared,
analyses and verdicts take it as a guest. The terms behind its labels say who said what.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, text

from db.queries import query
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN, SourceTable
from xray.errors import DataError
from xray.findings import standard

if TYPE_CHECKING:
    from xray.data.register import Registration

STATES: Final[Mapping[str, int]] = {"yes": POSITIVE, "no": NEGATIVE, "unsure": UNCERTAIN}
SOURCE: Final = "manifest"


def majority(states: Sequence[int]) -> int:
    """What more readers say than not; uncertain where as many say yes as no. Who is unsure has no vote."""
    yes, no = states.count(POSITIVE), states.count(NEGATIVE)
    return UNCERTAIN if yes == no else POSITIVE if yes > no else NEGATIVE


def any_reader(states: Sequence[int]) -> int:
    """Positive where one says yes; negative where all say no."""
    return POSITIVE if POSITIVE in states else UNCERTAIN if UNCERTAIN in states else NEGATIVE


def all_readers(states: Sequence[int]) -> int:
    """Positive where all say yes; negative where one says no."""
    return NEGATIVE if NEGATIVE in states else UNCERTAIN if UNCERTAIN in states else POSITIVE


RULES: Final[Mapping[str, Callable[[list[int]], int]]] = {
    "majority": majority,
    "any": any_reader,
    "all": all_readers,
}
"""How several readers' answers become one label."""


def register_reads(
    connection: Connection, worklist: str, name: str, rule: str = "majority", reader: str | None = None
) -> "Registration":
    """Register what was read of a worklist as dataset `name`, in the caller's transaction.

    rule: of `RULES`, over all readers; reader: that one's answers alone. Raises `DataError` where nobody has read the
    worklist, the reader has not, or its images are of several sites.
    """
    from xray.data.register import register  # loads what reads pictures

    rows = connection.execute(text(query("worklist_calls")), {"worklist": worklist}).mappings().all()
    if not rows:
        worklists = connection.scalars(text("select distinct worklist from reads order by 1")).all()
        raise DataError(
            f"nobody has read a worklist {worklist!r}; read were: {', '.join(worklists) or 'none'}"
        )
    readers = sorted({person for row in rows for person in row["readers"]})
    if reader is not None and reader not in readers:
        raise DataError(f"worklist {worklist}: {reader!r} has read nothing of it; {', '.join(readers)} did")
    sites = sorted({row["site"] for row in rows})
    if len(sites) > 1:
        raise DataError(
            f"worklist {worklist}: its images are of {', '.join(sites)}; a dataset is of one site"
        )
    rows_of_reader = [row for row in rows if reader is None or reader in row["readers"]]
    truth = pd.DataFrame(columns=["image", "finding", "present", "size"]) if rows[0]["synthetic"] else None
    return register(
        connection, name, sites[0], SOURCE, _table(worklist, rows_of_reader, rule, reader), None, truth=truth
    )


def _table(worklist: str, rows: Sequence[Any], rule: str, reader: str | None) -> SourceTable:
    """The images read, with the state of one finding, and each reader's answer as its term."""
    findings = standard(dict.fromkeys(row["task"] for row in rows))
    states = np.full((len(rows), len(findings)), NOT_MENTIONED, dtype=np.int8)
    terms = np.full(states.shape, None, dtype=object)
    records = []
    for position, row in enumerate(rows):
        task = findings.index(row["task"])
        calls = [
            (person, answer, time)
            for person, answer, time in zip(row["readers"], row["answers"], row["times"], strict=True)
            if reader in (None, person)
        ]
        states[position, task] = RULES[rule]([STATES[answer] for _, answer, _ in calls])
        terms[position, task] = ", ".join(f"{person}: {answer}" for person, answer, _ in calls)
        about = {key: row[key] for key in ("image", "patient", "view", "age", "sex")}
        read_cells = {
            "worklist": worklist,
            "read": ", ".join(f"{person}: {time}" for person, _, time in calls),
        }
        records.append({**about, "path": None, **read_cells})
    return SourceTable(pd.DataFrame(records), states, terms, findings=findings)
