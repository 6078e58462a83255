"""Plans of re-reads as blind lists for readers, and their answers: CSV out, CSV in.

A list says which image, what is asked and by whose rules; not what the label, the score or the site is. Its rows have names
of their own. What readers say is kept beside the labels (table `worklist_read`) and never changes them.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.csv_cells import plain
from xray.csv_cells import row as safe
from xray.data.tables import Table, read_table
from xray.errors import DataError

COLUMNS: Final = ("row", "image", "path", "question", "rules", "reader", "answer", "comment")
ANSWERS: Final = ("yes", "no", "unsure")
_PREFIX: Final = "L"
LONGEST_NAME: Final = 60
LONGEST_COMMENT: Final = 2000
SHOWN: Final = 10
"""Faults of a file that are listed; the rest are counted."""


@dataclass(frozen=True)
class ReadSample:
    """What a plan drew for one finding of a cohort. strata: (n_images,); sizes, n_drawn: (n_strata,); images: those to read.

    chance: that these reads settle whether labels are a cause.
    """

    trained_on: str
    task: str
    cohort_id: int
    reference_cohort_id: int
    strata: NDArray[np.int64]
    sizes: NDArray[np.int64]
    n_drawn: NDArray[np.int64]
    images: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    chance: float


@dataclass(frozen=True)
class Added:
    """What a file of answers brought: new answers, those that were stored already, rows without one, by study and reader."""

    new: int
    repeated: int
    empty: int
    studies: list[str]
    readers: list[str]


def put_plan(
    connection: Connection, study_id: int, study: str, several: Sequence[ReadSample], seed: int
) -> list[int]:
    """Store what was drawn, a worklist per finding, in the caller's transaction; ids of the worklists."""
    first = connection.scalar(text("select count(*) from reread_plan where study_id = :id"), {"id": study_id})
    rng = np.random.default_rng([seed, 1])
    worklists = []
    for number, plan in enumerate(several, int(first or 0) + 1):
        worklist_values = {"name": f"{study} reread {number}", "task": plan.task, "source": None}
        worklist = connection.scalar(text(query("worklist_put")), worklist_values)
        if worklist is None:
            raise DataError(f"there is a worklist {worklist_values['name']!r} already")
        shuffled = rng.permutation(plan.image_ids[plan.images]).tolist()
        connection.execute(
            text(query("worklist_images_put")), {"worklist_id": worklist, "image_ids": shuffled}
        )
        lists = {name: getattr(plan, name).tolist() for name in ("strata", "sizes")}
        lists["drawn"] = plan.n_drawn.tolist()
        ids = {"worklist_id": worklist, "study_id": study_id, "seed": seed, "chance": plan.chance}
        about = {name: getattr(plan, name) for name in ("trained_on", "cohort_id", "reference_cohort_id")}
        connection.execute(text(query("reread_plan_put")), lists | ids | about)
        worklists.append(int(worklist))
    return worklists


def blind_list(connection: Connection, worklists: Sequence[int], seed: int) -> str:
    """The CSV that readers fill: all images of the worklists in one order by chance."""
    rows = connection.execute(text(query("reread_rows")), {"worklist_ids": list(worklists)}).all()
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for position in np.random.default_rng([seed, 2]).permutation(len(rows)):
        row = rows[position]
        about = [_name(row), row.image, row.path, f"{row.task}?", row.reference]
        writer.writerow(safe([*about, None, None, None]))
    return buffer.getvalue()


def add_reads(connection: Connection, path: Path) -> Added:
    """Keep the answers of a filled list, all or nothing, in the caller's transaction.

    The list is any table that a spreadsheet program writes. Rows without an answer are passed over. Raises `DataError` that
    lists every fault: rows of no plan, answers that are none, readers without a name, one reader twice on a row, answers
    that differ from what that reader said before, and rows that can't be read.
    """
    name = str(path)
    filled, empty, faults = _parsed(name, read_table(path))
    planned: dict[str, tuple[str, dict[str, str]]] = {}
    for row in connection.execute(text(query("reread_known"))):
        of = planned.setdefault(_name(row), (row.study, {}))
        if row.reader is not None:
            of[1][row.reader] = row.answer
    new, repeated = [], 0
    for line, cells in filled:
        key, reader, answer = cells["row"], cells["reader"], cells["answer"]
        before = planned.get(key)
        if before is None:
            faults.append(f"line {line}: there is no row {key!r} in any plan of this installation")
        elif before[1].get(reader, answer) != answer:
            faults.append(
                f"line {line}: row {key}: {reader} said {before[1][reader]!r} before; an answer is changed on its "
                "worklist's page (xray explore)"
            )
        elif reader in before[1]:
            repeated += 1
        else:
            new.append(cells)
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise DataError("\n  ".join([f"{name}: nothing was added:", *faults[:SHOWN], *more]))
    if not filled:
        raise DataError(
            f"{name}: no row has an answer; expected one of {', '.join(ANSWERS)} in column answer"
        )
    for cells in new:
        worklist, position = cells["row"].removeprefix(_PREFIX).split("-")
        answers = {
            "reader": cells["reader"],
            "answer": cells["answer"],
            "comment": cells.get("comment") or None,
        }
        row_of_read = {"worklist_id": int(worklist), "position": int(position), "read_at": None}
        connection.execute(text(query("worklist_read_put")), row_of_read | answers)
    studies = dict.fromkeys(planned[cells["row"]][0] for _, cells in filled)
    readers = sorted({cells["reader"] for _, cells in filled})
    return Added(len(new), repeated, empty, list(studies), readers)


def _name(row: Any) -> str:
    """The name of a row, which no spreadsheet program takes for a day: 1-5 would be one."""
    return f"{_PREFIX}{row.worklist_id}-{row.position}"


def _parsed(name: str, table: Table) -> tuple[list[tuple[int, dict[str, str]]], int, list[str]]:
    """Rows with an answer, with their lines; how many have none; and faults."""
    lacking = [column for column in ("row", "reader", "answer") if column not in table.frame.columns]
    if lacking:
        raise DataError(
            f"{name}: no column {', '.join(lacking)}; expected the list that xray reread plan wrote"
        )
    answers: list[tuple[int, dict[str, str]]] = []
    faults = [f"line {entry.row}: {entry.reason}" for entry in table.quarantine]
    lines: dict[tuple[str, str], int] = {}
    empty = 0
    columns = [column for column in COLUMNS if column in table.frame.columns]
    for line, *values in zip(table.lines.tolist(), *(table.frame[column] for column in columns), strict=True):
        cells = {column: plain(value).strip() for column, value in zip(columns, values, strict=True)}
        if not cells["answer"]:
            empty += 1
            continue
        cells["answer"] = cells["answer"].lower()
        fault = _fault(cells)
        earlier = lines.setdefault((cells["row"], cells["reader"]), line)
        if fault is None and earlier != line:
            fault = f"row {cells['row']}: {cells['reader']} has read it on line {earlier} already"
        if fault is None:
            answers.append((line, cells))
        else:
            faults.append(f"line {line}: {fault}")
    return answers, empty, faults


def _fault(cells: dict[str, str]) -> str | None:
    """What is wrong with a row that has an answer."""
    if cells["answer"] not in ANSWERS:
        return f"answer is {cells['answer'][:20]!r}, expected one of {', '.join(ANSWERS)}"
    if not 1 <= len(cells["reader"]) <= LONGEST_NAME:
        return f"reader: expected a name of 1 to {LONGEST_NAME} characters"
    if len(cells.get("comment", "")) > LONGEST_COMMENT:
        return f"comment: at most {LONGEST_COMMENT} characters"
    return None
