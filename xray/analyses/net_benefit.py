"""Is acting on a model's calls worth more than treating everybody, or nobody? Net benefit over threshold probabilities.

Of the model as it would be used: its probabilities as they stand, with nothing fitted at the hospital that it comes to.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from db.results import NetBenefit
from xray.analyses import cells
from xray.analyses.analysis import Stored, analysis
from xray.analyses.parallel import flat_side_by_side
from xray.analyses.resampled import repeated_patients
from xray.analyses.rows import NOT_TRAINED, number
from xray.analyses.stored import StoredStudy, TestSet
from xray.report.parts import operating
from xray.report.parts.part import Part
from xray.stats.netbenefit import net_benefit

THRESHOLDS: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""From 99 false alarms for one case found, to one for one; fixed beforehand, not chosen on the images."""
METHOD = "sigmoid of mean logits over seeds >= threshold, as it stands, normal 95 %, Wilson's with few"
CLUSTERED_METHOD = f"{METHOD}, patients as units"


def show(result: Stored) -> Part:
    """The findings in words, and the figure."""
    return operating.net_benefit(result.rows)


@analysis(
    "net_benefit",
    "Is acting on the calls worth more than treating all, or none? Net benefit at threshold probabilities",
    NetBenefit,
    order=130,
    unit=cells.MODEL,
    show=show,
)
def compute(study: StoredStudy, tests: Sequence[TestSet]) -> Iterator[dict[str, Any]]:
    """Rows of table `net_benefit`: per test cohort, task, configuration and threshold."""
    yield from flat_side_by_side(_rows, ((test, name) for test in tests for name in test.configurations))


def _rows(test: TestSet, trained_on: str) -> list[dict[str, Any]]:
    patients = repeated_patients(test)
    benefit = net_benefit(test.cohort.labels, test.ensemble(trained_on), THRESHOLDS, patients, of_logits=True)
    model, over_all = benefit.model, benefit.over_all
    trained, ids = test.trained_tasks(trained_on), test.ids(trained_on)
    return [
        {
            "cohort_id": test.cohort.id,
            "task_id": task,
            "trained_on": trained_on,
            "threshold": threshold,
            "n": int(model.n[cell]),
            "n_pos": int(model.n_pos[cell]),
            "net_benefit": number(model.value[cell]),
            "lower": number(model.lower[cell]),
            "upper": number(model.upper[cell]),
            "treat_all": number(benefit.treat_all[cell]),
            "difference": number(over_all.value[cell]),
            "difference_lower": number(over_all.lower[cell]),
            "difference_upper": number(over_all.upper[cell]),
            "method": METHOD if patients is None else CLUSTERED_METHOD,
            "reason": (str(model.reason[cell]) or str(over_all.reason[cell]) or None)
            if task in trained
            else NOT_TRAINED,
            "evaluation_ids": ids,
        }
        for task in sorted(test.labelled_tasks())
        for row, threshold in enumerate(THRESHOLDS)
        for cell in [(row, task)]
    ]
