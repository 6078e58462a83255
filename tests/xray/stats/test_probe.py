import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from xray.stats.probe import source_probe
from xray.stats.roc import auc


def test_only_sites_that_differ_are_told_apart():
    rng = np.random.default_rng(1)
    features, site = rng.normal(size=(600, 20)), (np.arange(600) % 3 == 0).astype(float)
    same = source_probe(features, site)
    assert same.lower < 0.5 < same.upper
    features[:, 3] += 2 * site
    probe = source_probe(features, site)
    fitted = LinearDiscriminantAnalysis().fit(features, site).decision_function(features)
    assert float(probe.value) == pytest.approx(float(auc(site, fitted).value), abs=0.03)
    assert (int(probe.n), int(probe.n_pos)) == (600, 200)


def test_a_patients_images_share_a_fold():
    """Features that only identify the patient: cross-fitting by image would learn them by heart."""
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(60), 8)
    features, site = np.eye(60)[patients] + 1e-3 * rng.normal(size=(480, 60)), (patients % 2).astype(float)
    assert float(source_probe(features, site).value) > 0.99
    assert float(source_probe(features, site, patients).value) < 0.75


def test_the_probe_depends_only_on_the_seed_and_refuses_gaps():
    rng = np.random.default_rng(3)
    features, site = rng.normal(size=(80, 3)), (rng.random(80) < 0.5).astype(float)
    assert source_probe(features, site, seed=4).value == source_probe(features, site, seed=4).value
    assert np.isnan(source_probe(features, np.ones(80)).value)
    features[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        source_probe(features, site)


def test_an_image_twice_is_no_further_evidence():
    rng = np.random.default_rng(6)
    site = np.repeat([0.0, 1.0], 60)
    features = rng.normal(size=(120, 3)) + 0.8 * site[:, None]
    once = source_probe(features, site)
    again = source_probe(np.repeat(features, 2, axis=0), np.repeat(site, 2), np.repeat(np.arange(120), 2))
    assert float(again.value) == pytest.approx(float(once.value), abs=1e-3)
    assert float(again.upper - again.lower) == pytest.approx(float(once.upper - once.lower), rel=0.03)
