import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from xray.stats.estimates import INFINITE_SCORE, NO_DATA, NOT_BETTER, ONE_CLASS
from xray.stats.roc import auc, average_precision, youden

SHAPES = ["smooth", "tied", "constant", "outlier", "tiny", "huge", "zeros", "coarse"]


def sample(rng, shape, n, dtype=np.float64, prevalence=0.2):
    labels = (rng.random(n) < prevalence).astype(np.float64)
    scores = rng.normal(size=n) + labels
    scores = {
        "smooth": scores,
        "tied": np.round(scores, 1),
        "constant": np.zeros(n),
        "outlier": np.where(rng.random(n) < 0.01, scores * 1e30, scores),
        "tiny": scores * 1e-40,
        "huge": scores * (1e307 if dtype == np.float64 else 1e37),
        "zeros": np.where(scores > 0, 0.0, -0.0),
        "coarse": np.round(scores * 0.7),
    }[shape]
    return labels, scores.astype(dtype)


def pairs(labels, scores):
    """AUC by its definition: every positive against every negative."""
    positives, negatives = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return float(np.mean((positives > negatives) + 0.5 * (positives == negatives)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prevalence", [0.02, 0.5, 0.97])
def test_auc_equals_scikit_learn(dtype, shape, prevalence):
    rng = np.random.default_rng(1)
    for n in (50, 3000):
        labels, scores = sample(rng, shape, n, dtype, prevalence)
        labels[:2] = 0, 1
        assert float(auc(labels, scores).value) == pytest.approx(
            roc_auc_score(labels, rankdata(scores)), abs=1e-12
        )


scores_with_gaps = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, np.nan, 5e-324, -5e-324, 1.7e308, -1.7e308]),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, np.nan]), scores_with_gaps), max_size=40))
def test_auc_equals_its_definition(rows):
    labels, scores = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    usable = ~np.isnan(labels) & ~np.isnan(scores)
    estimate = auc(labels, scores)
    assert int(estimate.n) == usable.sum()
    assert int(estimate.n_pos) == (labels[usable] == 1).sum()
    if 0 < estimate.n_pos < estimate.n:
        assert float(estimate.value) == pytest.approx(pairs(labels[usable], scores[usable]), abs=1e-14)
    else:
        assert np.isnan(estimate.value)
        assert str(estimate.reason) == (ONE_CLASS if estimate.n else NO_DATA)


@settings(deadline=None, max_examples=100)
@given(npst.arrays(np.float32, st.integers(2, 60), elements=st.floats(-1e3, 1e3, width=32)), st.randoms())
def test_auc_depends_only_on_ranks(scores, random):
    labels = np.array([1.0, 0.0] + [float(random.random() < 0.3) for _ in scores[2:]])
    ranks = np.unique(scores, return_inverse=True)[1]
    assert auc(labels, scores).value == auc(labels, ranks).value == auc(1 - labels, -scores).value


def test_auc_of_many_columns_equals_that_of_each():
    rng = np.random.default_rng(2)
    labels, scores = np.empty((2, 700, len(SHAPES)))
    for column, shape in enumerate(SHAPES):
        labels[:, column], scores[:, column] = sample(rng, shape, 700)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    scores[rng.random(scores.shape) < 0.2] = np.nan
    labels[:, 3] = np.nan
    labels[labels[:, 4] == 1, 4] = np.nan
    estimates = [auc(labels[:, column], scores[:, column]) for column in range(len(SHAPES))]
    for arrays in [(labels, scores), (np.asfortranarray(labels), np.asfortranarray(scores))]:
        together = auc(*arrays)
        assert together.value.shape == (len(SHAPES),)
        np.testing.assert_array_equal(together.value, [float(one.value) for one in estimates])
        assert together.reason.tolist() == [str(one.reason) for one in estimates]
    assert together.reason.tolist() == ["", "", "", NO_DATA, ONE_CLASS, "", "", ""]
    shared = auc(labels[:, 0], scores)
    np.testing.assert_array_equal(shared.value[:3], [auc(labels[:, 0], scores[:, j]).value for j in range(3)])


def test_auc_is_correctly_rounded():
    # 1/3 and 2/3 of the pairs: means of floating-point ranks miss the last bit of such values
    assert float(auc(np.array([1, 0, 0, 0]), np.array([0.5, 0.1, 0.7, 0.9])).value) == 1 / 3
    assert float(auc(np.array([1, 0, 0, 0]), np.array([0.8, 0.1, 0.7, 0.9])).value) == 2 / 3


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64])
def test_labels_may_have_any_type(dtype):
    labels, scores = sample(np.random.default_rng(3), "smooth", 100)
    assert auc(labels.astype(dtype), scores).value == auc(labels, scores).value


def test_empty_input_has_a_reason():
    for empty in (np.empty(0), np.empty((0, 3))):
        estimate = auc(empty, empty)
        assert estimate.value.shape == empty.shape[1:]
        assert np.isnan(estimate.value).all()
        assert (estimate.reason == NO_DATA).all()
    assert auc(np.empty((5, 0)), np.empty((5, 0))).value.shape == (0,)


def test_infinite_scores_are_refused_by_column():
    scores = np.array([[1.0, 1], [2, np.inf], [3, 3], [4, 4]])
    estimate = auc(np.array([0, 1, 0, 1]), scores)
    assert estimate.reason.tolist() == ["", INFINITE_SCORE]
    assert np.isnan(estimate.value).tolist() == [False, True]
    without_label = auc(np.array([0, np.nan, 0, 1]), scores)
    assert without_label.reason.tolist() == ["", ""]


def test_wrong_labels_and_shapes_are_refused():
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        auc(np.array([0, 1, 2]), np.zeros(3))
    with pytest.raises(ValueError, match="1, 0 or NaN"):
        auc(np.array([0, 1, 1 + 1e-12]), np.zeros(3))
    with pytest.raises(ValueError, match="don't fit"):
        auc(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="don't fit"):
        auc(np.zeros((4, 1)), np.zeros((4, 2)))


def test_inputs_are_not_modified():
    labels, scores = sample(np.random.default_rng(4), "smooth", 100)
    copies = labels.copy(), scores.copy()
    for function in (auc, youden, average_precision):
        function(labels, scores)
    np.testing.assert_array_equal(labels, copies[0])
    np.testing.assert_array_equal(scores, copies[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prevalence", [0.03, 0.9])
def test_average_precision_equals_scikit_learn(shape, prevalence):
    labels, scores = sample(np.random.default_rng(5), shape, 800, prevalence=prevalence)
    expected = average_precision_score(labels, rankdata(scores))
    assert float(average_precision(labels, scores).value) == pytest.approx(expected, abs=1e-12)


def exhaustive_youden(labels, scores):
    """Every score as threshold; of equal J (as whole numbers) the highest threshold."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    best = None
    for threshold in sorted(set(scores.tolist()), reverse=True):
        hits, alarms = int((positives >= threshold).sum()), int((negatives >= threshold).sum())
        gain = hits * negatives.size - alarms * positives.size
        if gain > 0 and (best is None or gain > best[0]):
            best = gain, threshold, hits / positives.size, 1 - alarms / negatives.size
    return best


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**31), st.sampled_from(SHAPES), st.sampled_from([np.float32, np.float64]))
def test_youden_equals_exhaustive_search(seed, shape, dtype):
    rng = np.random.default_rng(seed)
    labels, scores = sample(rng, shape, int(rng.integers(4, 60)), dtype, rng.random())
    labels[:2] = 0, 1
    scores = scores if seed % 3 else -scores
    result, expected = youden(labels, scores), exhaustive_youden(labels, scores)
    if expected is None:
        assert str(result.reason) == NOT_BETTER
        assert np.isnan([result.threshold, result.j, result.sensitivity, result.specificity]).all()
        return
    gain, threshold, sensitivity, specificity = expected
    assert float(result.threshold) == threshold
    assert float(result.sensitivity) == sensitivity
    assert float(result.specificity) == pytest.approx(specificity, abs=1e-15)
    n_pos, n_neg = (labels == 1).sum(), (labels == 0).sum()
    assert float(result.j) == gain / (n_pos * n_neg)


def test_youden_of_an_inverted_model_is_not_infinite():
    point = youden(np.array([0, 0, 1, 1]), np.array([4.0, 3, 2, 1]))
    assert np.isnan(point.threshold)
    assert str(point.reason) == NOT_BETTER


def test_youdens_rule_is_at_least_the_threshold():
    point = youden(np.array([0, 0, 1, 1]), np.array([1.0, 2, 3, 4]))
    assert (float(point.threshold), float(point.sensitivity), float(point.specificity)) == (3, 1, 1)
    one_class = youden(np.ones(3), np.arange(3))
    assert str(one_class.reason) == ONE_CLASS


@pytest.mark.parametrize("unit", [5e-324, 1e-322, 1e-310, 1e-300, 1e306])
def test_extreme_ranges_are_ranked_exactly(unit):
    rng = np.random.default_rng(6)
    labels, ranks = (rng.random(200) < 0.4).astype(float), rng.integers(-80, 80, 200)
    assert auc(labels, ranks * unit).value == auc(labels, ranks).value == auc(labels, ranks * 1.0 - 1e6).value
    assert youden(labels, ranks * unit).j == youden(labels, ranks).j
