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
CLUSTERED_METHOD = f"{METHOD}, patients as units"
FEWEST = 5
CONTRASTS: Final = (("lateral", LATERAL, FRONTAL), ("AP", ("AP",), ("PA",)))
"""The contrast: its name in the rows, prefixes of its views, and prefixes of the views it is told from."""


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return representation.view_classifier(result.rows)


@analysis(
    "view_classifier",
    "Can the view be told from a network's features? Scored by the view that the files state",
    ViewClassifier,
    order=180,
    unit=cells.NOTHING,
    show=show,
    prepare=features.load,
    state=features.state,
)
def compute(
    study: StoredStudy, tests: Sequence[TestSet], pooled: Sequence[Pooled]
) -> Iterator[dict[str, Any]]:
    """Rows of table `view_classifier`: per evaluation with features, lateral against frontal and AP against PA."""
    for pool in pooled:
        for contrast, prefixes, other_prefixes in CONTRASTS:
            view = np.array([is_view(name, prefixes, other_prefixes) for name in pool.views])
            stated = ~np.isnan(view)
            n, n_pos = int(stated.sum()), int((view == 1).sum())
            row: dict[str, Any] = {
                "evaluation_id": pool.evaluation_id,
                "trained_on": pool.trained_on,
                "seed": pool.seed,
                "told": contrast,
                "n": n,
                "n_pos": n_pos,
                "auc": None,
                "lower": None,
                "upper": None,
                "method": METHOD if np.unique(pool.patients[stated]).size == n else CLUSTERED_METHOD,
                "reason": f"fewer than {FEWEST} images of a view",
            }
            if min(n_pos, n - n_pos) >= FEWEST:
                probe = source_probe(pool.features[stated], view[stated], pool.patients[stated])
                row |= {
                    "auc": number(float(probe.value)),
                    "lower": number(float(probe.lower)),
                    "upper": number(float(probe.upper)),
                    "reason": str(probe.reason) or None,
                }
            yield row
