from typing import Any

import numpy as np
import pandas as pd
import pytest

SITES = ["beta", "alpha"]
TASKS = ["Mass", "Atelectasis"]


def performance_rows() -> list[dict[str, Any]]:
    """Two sites and a pooled model, two tasks; every kind of cell once."""
    rng = np.random.default_rng(7)
    rows = []
    for task in TASKS:
        for trained_on in ["all", *SITES]:
            for test_dataset in SITES:
                for seed in (None, 0, 1):
                    auc = float(rng.uniform(0.6, 0.95))
                    rows.append(
                        {
                            "trained_on": trained_on,
                            "test_dataset": test_dataset,
                            "task": task,
                            "seed": seed,
                            "n": 8000,
                            "n_pos": 9 if (task, test_dataset) == ("Mass", "alpha") else 1100,
                            "auc": auc,
                            "lower": auc - 0.05,
                            "upper": auc + 0.04,
                            "reason": None,
                        }
                    )
    return rows


@pytest.fixture
def performance() -> pd.DataFrame:
    frame = pd.DataFrame(performance_rows())
    undefined = (frame["task"] == "Atelectasis") & (frame["trained_on"] == "beta")
    frame.loc[undefined, ["auc", "lower", "upper"]] = np.nan
    frame.loc[undefined, "reason"] = "not trained"
    below = (frame["task"] == "Mass") & (frame["trained_on"] == "alpha") & (frame["test_dataset"] == "beta")
    frame.loc[below, ["auc", "lower", "upper"]] = [0.2, 0.1, 0.3]
    return frame


@pytest.fixture
def agreement() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "test_dataset": dataset,
                "task": task,
                "reference": dataset,
                "trained_on": trained_on,
                "n": 8000,
                "kappa": 1.0 if trained_on == dataset else kappa,
                "lower": kappa - 0.1,
                "upper": kappa + 0.1,
                "pabak": 0.625,
                "reason": None,
            }
            for task, kappa in (("Mass", -0.25), ("Atelectasis", 0.5))
            for dataset in SITES
            for trained_on in ["all", *SITES]
        ]
    )


@pytest.fixture
def left_out() -> pd.DataFrame:
    values = {"own": (0.8, 0.9), "all-but-site": (0.4, 0.42), "all": (0.85, 0.95)}
    return pd.DataFrame(
        [
            {"site": site, "test_dataset": f"{site}_a", "arm": arm, "seed": seed, "n_tasks": 8, "auc": auc}
            for site in SITES
            for arm, aucs in values.items()
            for seed, auc in enumerate(aucs)
        ]
    )


@pytest.fixture
def comparison() -> pd.DataFrame:
    names = ["test_dataset", "task", "arm_a", "arm_b", "auc_a", "auc_b", "difference", "lower", "upper"]
    rows = [
        ["beta", "Mass", "own", "all-but-site", 0.9, 0.1, 0.8, 0.75, 0.85, 1e-9, 1e-8, None],
        ["beta", "Hernia", "own", "all-but-site", 0.7, 0.9, -0.2, -0.3, -0.1, 0.001, 0.012, None],
        ["beta", "Nodule", "own", "all-but-site", 0.8, 0.7, 0.1, -0.1, 0.3, 0.3, 0.6, None],
        ["beta", "Edema", "own", "all-but-site", None, 0.7, None, None, None, None, None, "not trained"],
        ["beta", "Edema", "all", "all-but-site", 0.9, 0.7, 0.2, None, None, None, None, None],
    ]
    return pd.DataFrame(rows, columns=[*names, "p", "p_holm", "reason"])
