"""Net benefit against what it is written out by hand, image by image and patient by patient."""

import numpy as np
import pytest
from scipy.special import logit
from statsmodels.stats.proportion import proportion_confint

from xray.stats.estimates import ALL_CALLED, FEW_PATIENTS, NO_DATA, NO_VARIANCE, NONE_CALLED
from xray.stats.netbenefit import _by_proportions, net_benefit

THRESHOLDS = [0.5, 0.05, 0.2]


def sample(seed, n=500):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, n)
    return (rng.random(n) < p).astype(float), p


def test_net_benefit_and_interval_follow_the_definition():
    labels, p = sample(1)
    benefit = net_benefit(labels, p, THRESHOLDS)
    for row, t in enumerate(THRESHOLDS):
        calls = p >= t
        gain = labels * calls - (1 - labels) * calls * t / (1 - t)
        assert benefit.model.value[row] == pytest.approx(gain.mean())
        assert benefit.model.se[row] == pytest.approx(gain.std() / np.sqrt(gain.size))
        all_of_them = labels - (1 - labels) * t / (1 - t)
        assert benefit.treat_all[row] == pytest.approx(all_of_them.mean())
        more = gain - all_of_them
        assert benefit.over_all.value[row] == pytest.approx(more.mean())
        assert benefit.over_all.se[row] == pytest.approx(more.std() / np.sqrt(more.size))
        assert benefit.over_all.upper[row] == pytest.approx(
            more.mean() + 1.959964 * more.std() / np.sqrt(more.size)
        )
    assert (benefit.model.lower < benefit.model.value).all()
    assert (benefit.model.n == 500).all()
    assert (benefit.model.n_pos == labels.sum()).all()


def test_net_benefit_equals_a_hand_computation():
    """100 images, 10 positive; at 0.1 eight of these are called and 18 in vain: 8/100 - 18/100 / 9 = 0.06."""
    labels = np.repeat([1, 1, 0, 0], [8, 2, 18, 72])
    p = np.repeat([0.3, 0.05, 0.1, 0.02], [8, 2, 18, 72])
    benefit = net_benefit(labels, p, 0.1)
    assert benefit.model.value == pytest.approx([0.06])
    assert benefit.treat_all == pytest.approx([0.0])  # the threshold is the prevalence
    assert benefit.model.se == pytest.approx([np.sqrt((0.08 + 0.18 / 81 - 0.06**2) / 100)])


def test_intervals_have_patients_as_units():
    labels, p = sample(6, 600)
    labels[::7] = np.nan
    p[3::11] = np.nan
    patients = np.random.default_rng(0).integers(0, 150, 600)
    benefit = net_benefit(labels, p, THRESHOLDS, patients)
    plain = net_benefit(labels, p, THRESHOLDS)
    np.testing.assert_array_equal(benefit.model.value, plain.model.value)
    np.testing.assert_array_equal(benefit.over_all.value, plain.over_all.value)
    labelled = ~np.isnan(labels) & ~np.isnan(p)
    for row, t in enumerate(THRESHOLDS):
        worth = np.where(labels == 1, 1.0, -t / (1 - t))[labelled]
        for part, contribution in (
            (benefit.model, worth * (p[labelled] >= t)),
            (benefit.over_all, -worth * (p[labelled] < t)),
        ):
            apart = contribution - contribution.mean()
            sums = [apart[patients[labelled] == patient].sum() for patient in np.unique(patients[labelled])]
            assert part.value[row] == pytest.approx(contribution.mean())
            assert part.se[row] == pytest.approx(np.sqrt(np.square(sums).sum()) / labelled.sum())
    alone = net_benefit(labels, p, THRESHOLDS, np.arange(600)[::-1])
    np.testing.assert_array_equal(alone.model.se, plain.model.se)
    np.testing.assert_array_equal(alone.over_all.se, plain.over_all.se)


def test_doubled_images_do_not_narrow_the_interval():
    labels, p = sample(7)
    once = net_benefit(labels, p, THRESHOLDS)
    twice = net_benefit(np.tile(labels, 2), np.tile(p, 2), THRESHOLDS, np.tile(np.arange(500), 2))
    np.testing.assert_allclose(twice.model.se, once.model.se, rtol=1e-12)
    np.testing.assert_allclose(twice.over_all.se, once.over_all.se, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_few_patients_are_few_however_many_images_they_have(seed):
    """Of 60 images fewer than ten are positives or negatives on a side; each three times is no more patients."""
    labels, p = sample(seed, 60)
    once = net_benefit(labels, p, THRESHOLDS)
    thrice = net_benefit(np.tile(labels, 3), np.tile(p, 3), THRESHOLDS, np.tile(np.arange(60), 3))
    for one, three in ((once.model, thrice.model), (once.over_all, thrice.over_all)):
        half = 1.959964 * one.se
        assert (one.upper - one.value > 1.0001 * half).any(), "further than a normal interval"
        np.testing.assert_allclose(three.lower, one.lower, rtol=1e-12)
        np.testing.assert_allclose(three.upper, one.upper, rtol=1e-12)


def test_intervals_of_few_ill_patients_hold():
    """Six ill patients of 200, six images each: normal intervals hold 91 to 92 %."""
    rng = np.random.default_rng(3)
    covered, wide, draws = np.zeros(2), np.zeros(2), 600

    def of(patients):
        unit = np.repeat(np.arange(patients), 6)
        ill = (rng.random(patients) < 0.03)[unit]
        of_patient, of_image = rng.normal(size=patients)[unit], rng.normal(size=unit.size)
        return ill.astype(float), 1 / (1 + np.exp(2.2 - 1.8 * ill - 0.8 * of_patient - 0.6 * of_image)), unit

    labels, p, _ = of(300_000)
    truth = [part.value[0] for part in parts_of(net_benefit(labels, p, 0.1))]
    for _ in range(draws):
        for k, part in enumerate(parts_of(net_benefit(*of(200)[:2], 0.1, np.repeat(np.arange(200), 6)))):
            covered[k] += part.lower[0] <= truth[k] <= part.upper[0]
            wide[k] += (part.upper[0] - part.lower[0]) / (2 * 1.959964 * part.se[0]) / draws
    assert (covered / draws > 0.95).all(), covered / draws
    assert (covered / draws < 0.995).all(), covered / draws
    assert (wide < [1.4, 1.9]).all(), wide


def parts_of(benefit):
    return benefit.model, benefit.over_all


def test_with_few_of_a_class_the_interval_is_at_least_wilsons():
    """Four of 200 positives stay uncalled, 60 of 800 negatives are called in vain."""
    labels, p = (
        np.repeat([1, 1, 0, 0], [196, 4, 60, 740]),
        np.repeat([0.5, 0.01, 0.5, 0.01], [196, 4, 60, 740]),
    )
    benefit = net_benefit(labels, p, 0.05)
    n, odds, z = 1000, 0.05 / 0.95, 1.959964
    missed, spared = 4 / n, 740 / n
    (l1, u1), (l2, u2) = (proportion_confint(count, n, method="wilson") for count in (4, 740))
    r = -np.sqrt(missed * spared / (1 - missed) / (1 - spared))
    a, b = u1 - missed, odds * (spared - l2)
    c, d = missed - l1, odds * (u2 - spared)
    value = odds * spared - missed
    normal = z * np.sqrt((missed + odds**2 * spared - value**2) / n)
    assert benefit.over_all.value == pytest.approx([value])
    assert benefit.over_all.lower == pytest.approx([value - np.sqrt(a**2 + b**2 - 2 * r * a * b)])
    assert value - benefit.over_all.lower[0] > normal
    assert benefit.over_all.upper == pytest.approx(
        [value + max(normal, np.sqrt(c**2 + d**2 - 2 * r * c * d))]
    )
    assert benefit.model.upper - benefit.model.value == pytest.approx(z * benefit.model.se)  # 60 are enough


@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.5])
def test_intervals_cover_the_truth_at_their_level(threshold):
    rng = np.random.default_rng(9)

    def draw(n):
        x = 1.6 * rng.normal(size=n)
        return (rng.random(n) < 1 / (1 + np.exp(3 - x))).astype(float), 1 / (1 + np.exp(3 - 0.8 * x))

    truth = net_benefit(*draw(1_000_000), threshold)
    covered = np.zeros(2)
    for _ in range(400):
        benefit = net_benefit(*draw(400), threshold)
        for index, name in enumerate(("model", "over_all")):
            part, right = getattr(benefit, name), getattr(truth, name).value
            covered[index] += np.isnan(part.lower[0]) or part.lower[0] <= right[0] <= part.upper[0]
    assert (covered >= 0.92 * 400).all(), covered


def test_logits_give_the_same_net_benefit_as_probabilities():
    labels, p = sample(8)
    for patients in (None, np.arange(500) // 2):
        by_probability = net_benefit(labels, p, THRESHOLDS, patients)
        by_logit = net_benefit(labels, logit(p), THRESHOLDS, patients, of_logits=True)
        np.testing.assert_array_equal(by_logit.model.value, by_probability.model.value)
        np.testing.assert_array_equal(by_logit.model.se, by_probability.model.se)
    far = net_benefit([1, 0, 1], np.array([np.inf, -np.inf, 800.0]), [0.01, 0.5], of_logits=True)
    np.testing.assert_allclose(far.model.value, 2 / 3)


def test_net_benefit_of_treating_all_and_none_follows_the_definition():
    labels, p = sample(2)
    everyone = net_benefit(labels, np.ones_like(p), [0.1, 0.4])
    np.testing.assert_allclose(everyone.model.value, everyone.treat_all)
    assert np.isfinite(everyone.model.lower).all()
    assert everyone.over_all.value.tolist() == [0, 0]
    assert everyone.over_all.reason.tolist() == [ALL_CALLED] * 2
    nobody = net_benefit(labels, np.zeros_like(p), [0.1])
    assert nobody.model.value.tolist() == [0]
    assert nobody.model.reason.tolist() == [NONE_CALLED]
    assert np.isnan([nobody.model.lower, nobody.model.upper]).all()
    np.testing.assert_allclose(nobody.over_all.value, -nobody.treat_all)
    assert np.isfinite(nobody.over_all.lower).all()


def test_a_perfect_model_gains_the_prevalence():
    labels, _ = sample(3)
    np.testing.assert_allclose(net_benefit(labels, labels, [0.1, 0.9]).model.value, labels.mean())


def test_too_few_images_have_no_interval():
    assert net_benefit([1], np.array([0.9]), 0.5).model.reason.tolist() == [NO_VARIANCE]
    assert net_benefit([1, 1], np.array([0.9, 0.8]), 0.5).model.reason.tolist() == [NO_VARIANCE]
    one = net_benefit([1, 0, 0], np.array([0.9, 0.8, 0.1]), 0.5, np.zeros(3))
    assert one.model.reason.tolist() == [FEW_PATIENTS]
    assert np.isnan(one.model.se).all()
    assert one.model.value == pytest.approx([0])


def test_columns_and_gaps_are_handled_and_wrong_input_is_refused():
    labels, p = (np.stack(parts, axis=1) for parts in zip(sample(4), sample(5), strict=True))
    labels[:, 1] = np.nan
    for patients in (None, np.arange(500) // 3):
        benefit = net_benefit(labels, p, [0.1, 0.2], patients)
        assert benefit.model.reason.tolist() == [["", NO_DATA]] * 2
        assert np.isnan(benefit.model.value[:, 1]).all()
        assert np.isnan(benefit.treat_all[:, 1]).all()
        assert benefit.model.n.tolist() == [[500, 0]] * 2
        assert benefit.treat_all.shape == (2, 2)
    for wrong in (0, 1):
        with pytest.raises(ValueError, match="thresholds"):
            net_benefit(labels, p, [wrong])
    with pytest.raises(ValueError, match="probabilities"):
        net_benefit(labels, p + 1, [0.5])
    with pytest.raises(ValueError, match="labels must be"):
        net_benefit(labels + 1, p, [0.5])
    with pytest.raises(ValueError, match="patients are"):
        net_benefit(labels, p, [0.5], np.arange(3))


@pytest.mark.parametrize("cutoffs", [[0.5, 1.0], [0.0, 0.5], [0.5, 1.5]])
def test_a_threshold_outside_its_range_is_refused(cutoffs):
    with pytest.raises(ValueError, match="thresholds must lie in"):
        net_benefit(np.array([0.0, 1.0]), np.array([0.2, 0.7]), np.array(cutoffs))


@pytest.mark.parametrize(("hits", "alarms"), [(4 / 60, 0.1), (0.0, 0.05), (0.1, 0.0)])
def test_bounds_by_wilsons_are_added_in_squares_with_the_correlation_of_two_shares(hits, alarms):
    """Zou and Donner 2008, of hits − odds · alarms; 60 units, odds 1/4."""
    odds, n = 0.25, 60
    (low, high), (few, many) = (proportion_confint(of * n, n, method="wilson") for of in (hits, alarms))
    r = -np.sqrt(hits * alarms / ((1 - hits) * (1 - alarms)))
    a, b, c, d = hits - low, odds * (many - alarms), high - hits, odds * (alarms - few)
    value = hits - odds * alarms
    expected = value - np.sqrt(a**2 + b**2 - 2 * r * a * b), value + np.sqrt(c**2 + d**2 - 2 * r * c * d)
    bounds = _by_proportions(np.array(hits), np.array(alarms), np.array(odds), np.array([n, n]), 0.95)
    assert [float(bound) for bound in bounds] == pytest.approx(expected, abs=1e-12)
