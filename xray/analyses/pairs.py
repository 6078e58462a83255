"""Pairs of models whose calibrated scores are drawn against each other, image by image (paper, Fig 4)."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from xray.analyses.analysis import Analysis, stored_rows
from xray.analyses.points import calibrated
from xray.analyses.stored import StoredStudy, load_study, load_tests
from xray.errors import AnalysisError
from xray.report.captions import Caption
from xray.report.parts import agreement
from xray.report.parts.part import Part, renamed, with_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xray.report.scatter import Pair


def named_pair(connection: Connection, study: str, analysis: Analysis, name: str) -> Part:
    """Limits of agreement of one pair by name, "TASK:TEST_DATASET:TRAINED_ON", against the test dataset's own model."""
    frame = stored_rows(connection, study, analysis)
    pieces = name.split(":")
    if len(pieces) != 3:
        raise AnalysisError(
            f"--pair {name!r}: expected TASK:TEST_DATASET:TRAINED_ON, such as Effusion:nih:padchest"
        )
    task, dataset, trained_on = pieces
    same = frame[
        (frame["task"] == task) & (frame["test_dataset"] == dataset) & (frame["trained_on"] == trained_on)
    ]
    if not len(same):
        raise AnalysisError(
            f"--pair {name!r}: there is no such pair; tasks: {', '.join(dict.fromkeys(frame['task']))}; test "
            f"datasets: {', '.join(dict.fromkeys(frame['test_dataset']))}; models: "
            f"{', '.join(dict.fromkeys(frame['trained_on']))}"
        )
    row = same.iloc[0]
    if pd.isna(row["sd"]):
        raise AnalysisError(f"--pair {name!r}: undefined: {row['reason']}")
    part = with_pairs(agreement.bland_altman(same), connection, study, {"As asked for": row})
    return renamed(part, f"bland_altman_{task}_{dataset}_{trained_on}".replace(" ", "_"))


def with_pairs(part: Part, connection: Connection, study: str, rows: "dict[str, pd.Series[Any]]") -> Part:
    """The part with the scatter of these pairs, whose scores are read now: no connection is there when it is drawn."""
    if not rows:
        return part
    stored = load_study(connection, study)
    pairs = [_pair(connection, stored, heading, row) for heading, row in rows.items()]
    caption = Caption(
        "Bland-Altman plots of contrasting pairs of models",
        "Each dot is an image: mean of the two models' calibrated scores against their difference. Left "
        "coloured by label, right by whether the two answers agree. Lines: mean difference, and limits that "
        "hold 95% of the differences; bands: their 95% bounds. Lines that the dots form are images to "
        "which one model gives nearly the same score.",
        "Bland-Altman plots of "
        + "; ".join(f"{p.task} on {p.test_dataset}: {p.names[0]} and {p.names[1]}" for p in pairs),
    )
    points = pd.concat(
        [
            pd.DataFrame(
                {
                    "pair": p.heading, "task": p.task, "test_dataset": p.test_dataset, "first": p.names[0],
                    "second": p.names[1], "score_first": p.first, "score_second": p.second, "label": p.labels.astype(int),
                }
            )
            for p in pairs
        ]
    )  # fmt: skip
    return with_figure(part, points, partial(_scatter, pairs), caption)


def _scatter(pairs: "list[Pair]") -> "Figure":
    from xray.report import figures

    return figures.bland_altman(pairs)


def _pair(connection: Connection, study: StoredStudy, heading: str, row: "pd.Series[Any]") -> "Pair":
    from xray.report.scatter import Pair

    names = (str(row["reference"]), str(row["trained_on"]))
    (test,) = load_tests(connection, study, datasets=[str(row["test_dataset"])], trained_on=names)
    task = study.findings.index(str(row["task"]))
    first, second = (calibrated(test, name, [task])[:, 0] for name in names)
    scored = ~np.isnan(first) & ~np.isnan(second)

    def bounds(name: str) -> tuple[float, float, float]:
        return float(row[name]), float(row[f"{name}_from"]), float(row[f"{name}_to"])

    return Pair(
        heading, str(row["task"]), str(row["test_dataset"]), names, (float(row["auc_reference"]), float(row["auc"])),
        float(row["kappa"]), first[scored], second[scored], test.cohort.labels[scored, task].astype(np.float64),
        bounds("bias"), bounds("lower_limit"), bounds("upper_limit"),
    )  # fmt: skip
