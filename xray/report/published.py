"""Published values to show beside one's own, from a CSV of metric, trained_on, tested_on, task and value."""

from pathlib import Path
from typing import Final

import pandas as pd

from xray.errors import AnalysisError

AUC: Final = "AUC (3-seed mean)"
"""Metric of the published performance grid (Fig 1)."""
KAPPA: Final = "kappa_vs_model_trained_on_test_domain"
"""Metric of the published agreement grid (Fig 3)."""

TAU: Final = "kendalltau_vs_model_trained_on_test_domain"
POOLED_KAPPA: Final = "kappa_pairwise_over_all_test_data"
POOLED_TAU: Final = "kendalltau_pairwise_over_all_test_data"
"""Metrics of pairs of models on all test data: trained_on is "first vs second"."""
TRANSFER: Final = "delta_accuracy_own_minus_train_thr"
"""Metric of the threshold transfer (§4), published as accuracy at the target's threshold minus at the training data's."""

FILE: Final = Path(__file__).with_name("published.csv")
"""What was read back from the published figures, with its tolerance and where; Table A.1 is another file (xray verify)."""

DATASETS: Final[dict[str, str]] = {
    "NIH": "nih",
    "PC": "padchest",
    "CheX": "chexpert",
    "MIMIC_CH": "mimic_ch",
    "MIMIC_NB": "mimic_nb",
    "OpenI": "openi",
    "Google": "google",
    "Kaggle": "rsna",
    "All": "all",
}
"""Published dataset name → the platform's."""

_COLUMNS: Final = ("metric", "trained_on", "tested_on", "task", "value")


def read(path: Path, metric: str) -> pd.DataFrame:
    """Published values of one metric under the platform's names: trained_on, test_dataset, task, value.

    Of pairs of models trained_on is the first, test_dataset the second. The transfer's sign is ours: below 0 is a loss.
    Raises AnalysisError where the file lacks a column or holds no row of the metric.
    """
    frame = pd.read_csv(path)
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise AnalysisError(f"{path}: lacks the columns {', '.join(missing)}")
    rows = frame[frame["metric"] == metric]
    if rows.empty:
        metrics = ", ".join(sorted(set(frame["metric"].astype(str))))
        raise AnalysisError(f"{path}: holds no values of {metric!r}; it has: {metrics}")
    first, second = list(rows["trained_on"]), list(rows["tested_on"])
    if metric in (POOLED_KAPPA, POOLED_TAU):
        first, second = (list(side) for side in zip(*(pair.split(" vs ") for pair in first), strict=True))
    sign = -1.0 if metric == TRANSFER else 1.0
    return pd.DataFrame(
        {
            "trained_on": [DATASETS.get(name, name) for name in first],
            "test_dataset": [DATASETS.get(name, name) for name in second],
            "task": list(rows["task"]),
            "value": (sign * rows["value"].astype(float)).to_list(),
        }
    )
