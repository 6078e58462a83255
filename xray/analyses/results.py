"""Stored result rows as frames, in the columns that the report and the command line take."""

from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from db.queries import query
from xray.report.answer import Answer, answer


def performance(connection: Connection, study: str) -> pd.DataFrame:
    """AUC rows: trained_on, test_dataset, task, seed (NaN for the ensemble), n, n_pos, auc, lower, upper, reason,
    warning (what the models saw of the test cohort in training), method.
    """
    return _frame(connection, "results_performance", study)


def comparison(connection: Connection, study: str) -> pd.DataFrame:
    """Paired differences of leave-one-site-out arms: test_dataset, task, arm_a, arm_b, auc_a, …, p_holm, warning."""
    return _frame(connection, "results_comparison", study)


def agreement(connection: Connection, study: str, rule: str = "target") -> pd.DataFrame:
    """Kappa rows under one rule for operating points: test_dataset, task, reference, trained_on, n, kappa, …, reason,
    warning.
    """
    frame = _frame(connection, "results_agreement", study)
    return frame[frame["rule"] == rule].reset_index(drop=True)


def images_or_labels(connection: Connection, study: str) -> pd.DataFrame:
    """Verdict rows: train_dataset, test_dataset, task, verdict, basis, assumption, resolve, auc_drop, …, reason."""
    return _frame(connection, "results_shift", study)


def causes(connection: Connection, study: str) -> pd.DataFrame:
    """Verdicts on models from elsewhere: trained_on (the model), train_dataset (the reference), test_dataset, task, …"""
    return _frame(connection, "results_causes", study)


def set_aside(connection: Connection, study: str) -> list[str]:
    """A sentence for each dataset of a study of which rows or pictures were set aside: unreadable, changed, doubled, …"""
    return [
        f"{row.dataset}: {row.n:,} row(s) or picture(s) were set aside, such as: {row.reason}."
        for row in connection.execute(text(query("results_set_aside")), {"study": study})
    ]


def first_screen(connection: Connection, study: str) -> Answer:
    """Whether models from elsewhere work at each site, what fails and why."""
    frame = performance(connection, study)
    elsewhere = connection.scalars(text(query("study_foreign")), {"study": study}).all()
    frame["foreign"] = frame["trained_on"].isin(elsewhere)
    return answer(
        frame,
        images_or_labels(connection, study),
        set_aside(connection, study),
        causes(connection, study),
    )


def cohorts(connection: Connection, study: str) -> pd.DataFrame:
    """Counts: dataset, part, task, n, n_pos; rows without a task count the images of the part."""
    return _frame(connection, "results_cohorts", study)


def models(connection: Connection, study: str) -> pd.DataFrame:
    """The study's models: name (as MLflow loads it), trained_on, seed, best epoch, validation AUC.

    A foreign one has neither trained_on, seed nor epoch (NA).
    """
    return _frame(connection, "results_models", study).astype({"seed": "Int64", "best_epoch": "Int64"})


def drawn_images(connection: Connection, study: str) -> pd.DataFrame:
    """The images of a study's feature map: image_id, site, image, dataset, positive (a list of findings)."""
    return _frame(connection, "results_feature_map_images", study)


def foreign_notes(connection: Connection, study: str) -> list[str]:
    """A sentence or two on each foreign model of a study: what it is, what it knows, where it was not scored."""
    return [
        _foreign_note(row) for row in connection.execute(text(query("results_foreign")), {"study": study})
    ]


def _foreign_note(row: Any) -> str:
    note = f"{row.model} was not trained here: its rows are under its own name"
    note += f" ({row.citation}). " if row.citation else ". "
    if row.trained_on is None:
        note += "What it was trained on is unknown, and so whether it knows images or patients of the test cohorts."
    else:
        note += f"It is said to be trained on {', '.join(row.trained_on)}; which images of them is unknown."
        note += f" {row.warning}: what it scores there is flattered." if row.warning else ""
    return note


def _frame(connection: Connection, name: str, study: str) -> pd.DataFrame:
    result = connection.execute(text(query(name)), {"study": study})
    return pd.DataFrame(result.all(), columns=list(result.keys()))
