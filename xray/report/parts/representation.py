"""Inside the networks: classifiers of datasets and tasks, and features of images."""

from typing import Final

import pandas as pd

from xray.report.captions import Caption
from xray.report.parts.part import LISTED, Part, estimate, figures, records
from xray.report.text import frame_table
from xray.report.words import interval, number, number_of, task_name
from xray.stats.correlation import spearman

NO_HEADS: Final = "No model of this study has a head for each dataset."
TOLD: Final = {
    "lateral": "lateral views are told from frontal ones",
    "AP": "AP views are told from PA ones",
}
NO_FEATURES: Final = "This study stores no features; name datasets under `features` in its file."


def classifier_map(rows: pd.DataFrame) -> Part:
    """Fig 5: where the classifiers of each dataset and task lie."""
    return Part(
        "classifier_map",
        "Where do the classifiers of each dataset lie?",
        "Of models with a head per dataset: the weight vectors of each dataset and task on the two main axes of one model. "
        "Vectors of a task that lie together speak alike of it.",
        [] if len(rows) else [NO_HEADS],
        rows,
        frame_table(rows),
        draw=(lambda: figures().classifier_map(rows)) if len(rows) else None,
        caption=Caption(
            "Principal components of the classifier vectors",
            "A panel for each configuration (first seed). Dots: datasets (colours) and tasks; lines join those of a task.",
            "Scatter plot of classifier vectors by dataset and task.",
        ),
    )


def classifier_distance(rows: pd.DataFrame) -> Part:
    """Fig 6: distances of classifiers and their relation to the AUC across datasets."""
    lines = []
    means = rows[rows["seed"].isna()] if len(rows) else rows
    for trained_on, same in means.groupby("trained_on", sort=False) if len(means) else ():
        correlation = spearman(same["relative"].to_numpy(float), same["cross_domain_auc"].to_numpy(float))
        names = [task_name(str(task)) for task in same.sort_values("relative", ascending=False)["task"][:3]]
        if len(same) < 2:
            lines.append(
                f"{trained_on}: only {names[0]} has classifiers of two datasets, so there is nothing to compare."
            )
            continue
        bounds = (
            ""
            if correlation.lower != correlation.lower
            else f" ({interval((correlation.lower, correlation.upper), 2)})"
        )
        related = (
            f" Over {number_of(correlation.n, 'task')} the distance and the AUC across datasets have Spearman's ρ = "
            f"{number(correlation.value, 2)}{bounds}."
            if correlation.value == correlation.value
            else " How that goes with the AUC across datasets can't be said: too few tasks have models of one dataset."
        )
        lines.append(f"{trained_on}: furthest apart are {', '.join(names)}.{related}")
    has_values = bool(len(means)) and bool(
        (means["relative"].notna() & means["cross_domain_auc"].notna()).any()
    )
    return Part(
        "classifier_distance",
        "Do tasks whose classifiers differ generalise less well?",
        "Of models with a head per dataset: mean distance between a task's vectors over datasets, relative to the other "
        "tasks; mean over the seeds. Beside it the mean AUC of models of one dataset on the others.",
        lines or [NO_HEADS],
        rows,
        frame_table(means[["trained_on", "task", "n_datasets", "distance", "relative", "cross_domain_auc"]])
        if len(means)
        else "no results",
        draw=(lambda: figures().classifier_distance(rows)) if has_values else None,
        caption=Caption(
            "Distance of classifiers and AUC across datasets",
            "A dot for each task: to the right, classifiers of the datasets differ more than those of other tasks.",
            "Scatter plot of relative distance against AUC. " + " ".join(lines),
        ),
    )


def feature_map(rows: pd.DataFrame, images: pd.DataFrame | None = None) -> Part:
    """Fig A.2: images by their features. images: their numbers and labels, as `analyses.results.drawn_images` has them."""
    return Part(
        "feature_map",
        "Does a network see the view?",
        "Pooled features of images on a plane by t-SNE; only neighbourhoods mean anything.",
        [] if len(rows) else [NO_FEATURES],
        rows,
        frame_table(rows.head(LISTED)),
        draw=(lambda: figures().feature_map(rows, images)) if len(rows) else None,
        caption=Caption(
            "Images by their features",
            "A panel for each model; a dot for each image, coloured by the view that its files state.",
            "Scatter plot of images by t-SNE, coloured by view.",
        ),
    )


def view_classifier(rows: pd.DataFrame) -> Part:
    """The view classifier beside Fig A.2."""
    lines = [
        f"From the features of {r['trained_on']} (seed {r['seed']}) {TOLD[r['told']]} with an AUC of "
        f"{estimate(r, 'auc')}, {number_of(int(r['n']), 'image')}, {int(r['n_pos'])} {r['told']}."
        for r in records(rows)
        if pd.notna(r["auc"])
    ]
    lines = lines or [f"No view can be told: {reason}." for reason in dict.fromkeys(rows.get("reason", ()))]
    return Part(
        "view_classifier",
        "Can the view be told from the features?",
        "",
        lines or [NO_FEATURES],
        rows,
        frame_table(rows),
    )
