"""A study's result in a few numbers and sentences, for lists of many studies."""

from collections.abc import Mapping

from sqlalchemy import Connection

from xray.analyses import results
from xray.report import answer_text
from xray.report.answer import CANNOT_SAY, FAILS, WORKS
from xray.study import Study

STATES = {WORKS: "cells_work", FAILS: "cells_fail", CANNOT_SAY: "cells_unclear"}
LONGEST = 7500
"""Letters of a note: MLflow keeps 8,000."""


def headline(connection: Connection, study: str) -> Mapping[str, float]:
    """How many cells work, fail and are unclear, and the mean AUC of ensembles at home and elsewhere (NaN where none is)."""
    cells = results.first_screen(connection, study).cells.values()
    frame = results.performance(connection, study)
    frame = frame[frame["seed"].isna()]
    at_home = frame["trained_on"] == frame["test_dataset"]
    return {
        **{key: float(sum(cell.state == state for cell in cells)) for state, key in STATES.items()},
        "auc_at_home": float(frame.loc[at_home, "auc"].mean()),
        "auc_elsewhere": float(frame.loc[~at_home, "auc"].mean()),
    }


def note(connection: Connection, study: Study) -> str:
    """The answer as Markdown, cut at the end of a line where it is long."""
    markdown = answer_text.markdown(results.first_screen(connection, study.name), study.title, study.question)
    if len(markdown) <= LONGEST:
        return markdown
    return markdown[:LONGEST].rpartition("\n")[0] + "\n\n… (report.md has all of it)\n"


def description(study: Study) -> tuple[str, dict[str, str]]:
    """What a study asks, as Markdown, and what it is of, as tags."""
    models = [*(item.name for item in study.configurations()), *study.foreign]
    tags = {
        "xray.study": study.name,
        "xray.protocol": study.protocol,
        "xray.datasets": ", ".join(item.name for item in study.datasets),
        "xray.models": ", ".join(models),
    }
    return f"# {study.title}\n\n{study.question}", tags
