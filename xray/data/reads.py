"""What people read of a worklist as the labels of a dataset: images of one site under one more labeller.

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
        known = connection.scalars(text("select distinct worklist from reads order by 1")).all()
        raise DataError(f"nobody has read a worklist {worklist!r}; read were: {', '.join(known) or 'none'}")
    readers = sorted({who for row in rows for who in row["readers"]})
    if reader is not None and reader not in readers:
        raise DataError(f"worklist {worklist}: {reader!r} has read nothing of it; {', '.join(readers)} did")
    sites = sorted({row["site"] for row in rows})
    if len(sites) > 1:
        raise DataError(
            f"worklist {worklist}: its images are of {', '.join(sites)}; a dataset is of one site"
        )
    kept = [row for row in rows if reader is None or reader in row["readers"]]
    truth = pd.DataFrame(columns=["image", "finding", "present", "size"]) if rows[0]["synthetic"] else None
    return register(
        connection, name, sites[0], SOURCE, _table(worklist, kept, rule, reader), None, truth=truth
    )


def _table(worklist: str, rows: Sequence[Any], rule: str, reader: str | None) -> SourceTable:
    """The images that were read, with a state of one finding, and who said what as its term."""
    findings = standard(dict.fromkeys(row["task"] for row in rows))
    states = np.full((len(rows), len(findings)), NOT_MENTIONED, dtype=np.int8)
    terms = np.full(states.shape, None, dtype=object)
    listed = []
    for place, row in enumerate(rows):
        task = findings.index(row["task"])
        calls = [
            (who, answer, time)
            for who, answer, time in zip(row["readers"], row["answers"], row["times"], strict=True)
            if reader in (None, who)
        ]
        states[place, task] = RULES[rule]([STATES[answer] for _, answer, _ in calls])
        terms[place, task] = ", ".join(f"{who}: {answer}" for who, answer, _ in calls)
        about = {key: row[key] for key in ("image", "patient", "view", "age", "sex")}
        read = {"worklist": worklist, "read": ", ".join(f"{who}: {time}" for who, _, time in calls)}
        listed.append({**about, "path": None, **read})
    return SourceTable(pd.DataFrame(listed), states, terms, findings=findings)
