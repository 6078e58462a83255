"""Can the view be told from a network's features? A linear classifier of lateral against frontal, and AP against PA."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from db.results import ViewClassifier
from xray.analyses import cells, features
from xray.analyses.analysis import Stored, analysis
from xray.analyses.features import FRONTAL, LATERAL, Pooled, is_view
from xray.analyses.rows import number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import representation
from xray.report.parts.part import Part
from xray.stats.probe import source_probe

METHOD = "ridge linear discriminant of pooled features, five folds by patient, AUC with DeLong's 95 %"
FEWEST = 5
CONTRASTS: Final = (("lateral", LATERAL, FRONTAL), ("AP", ("AP",), ("PA",)))
"""What is told: its name in the rows, how its views begin, and how those that it is told from do."""


def show(stored: Stored) -> Part:
    """What is said of the rows, and the figure."""
    return representation.view_classifier(stored.rows)


@analysis(
    "view_classifier",
    "Can the view be told from a network's features? Scored by the view that the files state",
    ViewClassifier,
    place=180,
    unit=cells.NOTHING,
    show=show,
    prepare=features.load,
    state=features.state,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], pooled: Sequence[Pooled]
) -> Iterator[dict[str, Any]]:
    """Rows of table `view_classifier`: per evaluation with features, lateral against frontal and AP against PA."""
    for each in pooled:
        for told, wanted, other in CONTRASTS:
            view = np.array([is_view(name, wanted, other) for name in each.views])
            known = ~np.isnan(view)
            n, n_pos = int(known.sum()), int((view == 1).sum())
            row: dict[str, Any] = {
                "evaluation_id": each.evaluation_id,
                "trained_on": each.trained_on,
                "seed": each.seed,
                "told": told,
                "n": n,
                "n_pos": n_pos,
                "auc": None,
                "lower": None,
                "upper": None,
                "method": METHOD,
                "reason": f"fewer than {FEWEST} images of a view",
            }
            if min(n_pos, n - n_pos) >= FEWEST:
                found = source_probe(each.features[known], view[known], each.patients[known])
                row |= {
                    "auc": number(float(found.value)),
                    "lower": number(float(found.lower)),
                    "upper": number(float(found.upper)),
                    "reason": str(found.reason) or None,
                }
            yield row
