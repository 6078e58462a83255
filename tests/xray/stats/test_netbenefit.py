import numpy as np
import pytest

from xray.stats.estimates import NO_DATA
from xray.stats.netbenefit import net_benefit


def sample(seed, n=500):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, n)
    return (rng.random(n) < p).astype(float), p


def test_definition_and_interval():
    labels, p = sample(1)
    thresholds = [0.05, 0.2, 0.5]
    found = net_benefit(labels, p, thresholds)
    for row, t in enumerate(thresholds):
        called = p >= t
        gain = labels * called - (1 - labels) * called * t / (1 - t)
        assert found.model.value[row] == pytest.approx(gain.mean())
        assert found.model.se[row] == pytest.approx(gain.std() / np.sqrt(gain.size))
        all_of_them = labels - (1 - labels) * t / (1 - t)
        assert found.treat_all[row] == pytest.approx(all_of_them.mean())
    assert (found.model.lower < found.model.value).all()
    assert (found.model.n == 500).all()


def test_acting_on_everyone_and_on_no_one():
    labels, p = sample(2)
    everyone = net_benefit(labels, np.ones_like(p), [0.1, 0.4])
    np.testing.assert_allclose(everyone.model.value, everyone.treat_all)
    assert net_benefit(labels, np.zeros_like(p), [0.1]).model.value.tolist() == [0]


def test_a_perfect_model_gains_the_prevalence():
    labels, _ = sample(3)
    np.testing.assert_allclose(net_benefit(labels, labels, [0.1, 0.9]).model.value, labels.mean())


def test_columns_gaps_and_wrong_input():
    labels, p = (np.stack(parts, axis=1) for parts in zip(sample(4), sample(5), strict=True))
    labels[:, 1] = np.nan
    found = net_benefit(labels, p, [0.1, 0.2])
    assert found.model.reason.tolist() == [["", NO_DATA]] * 2
    assert np.isnan(found.model.value[:, 1]).all()
    assert found.treat_all.shape == (2, 2)
    for wrong in (0, 1):
        with pytest.raises(ValueError, match="thresholds"):
            net_benefit(labels, p, [wrong])
