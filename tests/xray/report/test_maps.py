"""Maps of classifiers and images: every dot says what it is, and whose pictures can be looked at behind it."""

import json

import pandas as pd
import pytest

from tests.xray.report.reading import answers
from xray.report import figures, spots

CLASSIFIERS = pd.DataFrame(
    [
        ("all", seed, dataset, task, x, y, 0.4, 0.2, "by hand")
        for seed in (0, 1)
        for dataset, task, x, y in (
            ("alpha", "Pleural_Thickening", 0.1, 0.2), ("beta", "Pleural_Thickening", 0.3, 0.1), ("alpha", "Mass", 0.9, 0.8),
        )
    ],
    columns=["trained_on", "seed", "dataset", "task", "x", "y", "explained_x", "explained_y", "method"],
)  # fmt: skip
FEATURES = pd.DataFrame(
    [
        ("alpha", 0, 5, "one", f"secret-{k}", "PA" if k % 2 else None, k / 4, k % 3, "by hand")
        for k in range(4)
    ],
    columns=["trained_on", "seed", "evaluation_id", "site", "image", "view", "x", "y", "method"],
)
IMAGES = pd.DataFrame(
    [
        (70, "one", "secret-0", "alpha", ["Mass", "Pleural_Thickening"]),
        (71, "one", "secret-1", "alpha", []),
        (71, "one", "secret-1", "alpha-again", ["Mass"]),
        (72, "two", "secret-2", "beta", ["Edema"]),
    ],
    columns=["image_id", "site", "image", "dataset", "positive"],
)


def test_a_dot_of_a_classifier_names_dataset_task_and_model() -> None:
    figure = figures.classifier_map(CLASSIFIERS)
    (axes,) = figure.axes
    message = answers(figure)
    assert len(message) == 3, "the first seed"
    text = "Pleural Thickening: classifier of beta, model all, seed 0 | by hand"
    assert message[text] == pytest.approx(axes.transData.transform((0.3, 0.1)))
    assert {spot.cell for spot in spots.of(figure)} >= {("all", "beta", "Pleural_Thickening")}


def test_a_dot_of_an_image_shows_number_view_and_labels_but_never_its_name() -> None:
    figure = figures.feature_map(FEATURES, IMAGES)
    (axes,) = figure.axes
    text = answers(figure)
    assert list(text) == [
        "image 70, view unknown | alpha: Mass, Pleural Thickening | by hand",
        "image 71, view PA | alpha: no finding is positive | alpha-again: Mass | by hand",
        "an image, view unknown | by hand",  # that of this name at another site is another image
        "an image, view PA | by hand",
    ]
    assert text[
        "image 71, view PA | alpha: no finding is positive | alpha-again: Mass | by hand"
    ] == pytest.approx(axes.transData.transform((0.25, 1)))
    content = spots.as_json(spots.of(figure), "study", [])
    assert "secret" not in content
    assert [spot[5] for spot in json.loads(content)["spots"]] == [70, 71, [], []]


def test_a_dot_of_a_task_shows_distance_and_auc() -> None:
    rows = pd.DataFrame(
        [("all", None, "Mass", 2, 1.25, 0.81, "by hand"), ("all", None, "Edema", 3, 0.5, 0.9, "by hand")],
        columns=["trained_on", "seed", "task", "n_datasets", "relative", "cross_domain_auc", "method"],
    )
    assert next(iter(answers(figures.classifier_distance(rows)))) == (
        "Mass: model all, 2 datasets | distance 1.25 of that of the other tasks, mean AUC on other datasets 0.810 | by hand"
    )
