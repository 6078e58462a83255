"""Where a stored result comes from."""

from typing import Any

from sqlalchemy import Connection, text

from db.queries import query
from xray.errors import AnalysisError


def explain_result(connection: Connection, result: str, seed: int | None = None) -> dict[str, Any]:
    """A stored AUC with all that it comes from: its columns, `computed_by`, and `evaluations`, one per seed.

    result: STUDY/TRAINED_ON/TEST_DATASET/TASK. seed: None for the ensemble. Raises `AnalysisError` where none is stored.
    """
    parts = result.split("/")
    if len(parts) != 4:
        raise AnalysisError(f"{result!r}: expected STUDY/TRAINED_ON/TEST_DATASET/TASK")
    given = dict(zip(("study", "trained_on", "test_dataset", "task"), parts, strict=True))
    rows = connection.execute(text(query("explain_result")), {**given, "seed": seed}).mappings().all()
    if not rows:
        which = "the ensemble" if seed is None else f"seed {seed}"
        raise AnalysisError(f"{result}: no AUC of {which} is stored; the view auc_results shows what is")
    about = dict(rows[0])
    del about["evaluation"]
    return {**about, "evaluations": [row["evaluation"] for row in rows]}
