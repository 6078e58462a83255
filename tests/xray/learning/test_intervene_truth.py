"""Planted truth: on drawn radiographs a change costs what the other detector costs the same patients; labels, nothing."""

import numpy as np
import pytest

from benchmarks.interventions import cells
from xray.data.phantom.sites import load_sites
from xray.data.prepare import prepare
from xray.data.request import DatasetRequest, Phantom
from xray.learning.models import ensure_model
from xray.learning.network import load
from xray.learning.recipe import Recipe
from xray.learning.request import ModelRequest
from xray.learning.weights import weights_of
from xray.pixels.augment import Augmentation

SIZE = 32
RECIPE = Recipe(
    "small_convnet",
    SIZE,
    epochs=6,
    batch_size=16,
    learning_rate=3e-3,
    augmentation=Augmentation(0, 0.04, 0, 0.1),
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_measured_loss_is_that_of_the_worse_detector_and_none_for_other_labels(engine, tracker, home):
    """alpha's network; echo's pictures are worse in each stated way, delta differs in labels only."""
    prepare(
        engine,
        home,
        DatasetRequest("a", "a", "manifest", None, None, Phantom("alpha", 700, SIZE)),
        "corrected",
        SIZE,
    )
    model, _ = ensure_model(engine, tracker, home, ModelRequest("truth", "a", ("a",), "corrected", RECIPE, 0))
    network = load(weights_of(engine, tracker, model))
    sites = load_sites()
    rows = list(cells(sites["alpha"], [sites["echo"], sites["delta"]], network, 600, 0, SIZE))
    alike = [row for row in rows if row["b"] == "delta" and not np.isnan(row["loss"])]
    assert all(row["truth"] == 0 for row in alike)
    assert np.mean([row["lower"] <= 0 <= row["upper"] for row in alike]) > 0.9
    assert max(abs(row["loss"]) for row in alike) < 0.015
    for kind, least in (("histogram", 0.01), ("noise", 0.0), ("borders", 0.01), ("all", 0.05)):
        worse = [row for row in rows if (row["b"], row["kind"]) == ("echo", kind)]
        truth, loss = (np.array([row[name] for row in worse]) for name in ("truth", "loss"))
        assert truth.mean() >= least, kind
        assert loss.mean() == pytest.approx(truth.mean(), abs=0.015 + 0.2 * truth.mean()), kind
        assert np.sqrt(((loss - truth) ** 2).mean()) < 0.04, kind
