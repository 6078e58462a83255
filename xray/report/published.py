"""Published values to show beside one's own, from a CSV of metric, trained_on, tested_on, task and value."""

from pathlib import Path
from typing import Final

import pandas as pd

from xray.errors import AnalysisError

AUC: Final = "AUC (3-seed mean)"
"""Metric of the published performance grid (Fig 1)."""
KAPPA: Final = "kappa_vs_model_trained_on_test_domain"
"""Metric of the published agreement grid (Fig 3)."""

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

    Raises AnalysisError where the file lacks a column or holds no row of the metric.
    """
    frame = pd.read_csv(path)
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise AnalysisError(f"{path}: lacks the columns {', '.join(missing)}")
    rows = frame[frame["metric"] == metric]
    if rows.empty:
        known = ", ".join(sorted(set(frame["metric"].astype(str))))
        raise AnalysisError(f"{path}: holds no values of {metric!r}; it has: {known}")
    return pd.DataFrame(
        {
            "trained_on": [DATASETS.get(name, name) for name in rows["trained_on"]],
            "test_dataset": [DATASETS.get(name, name) for name in rows["tested_on"]],
            "task": list(rows["task"]),
            "value": rows["value"].astype(float).to_list(),
        }
    )
