"""Boosted trees: sums of leaves, followed by hand. What scikit-learn fits is compared in `test_fit_posterior`."""

import numpy as np
import pytest

from xray.stats import boosted
from xray.stats.boosted import LEAF, Trees


@pytest.fixture
def trees():
    """Of answer 0: x0 <= 1 ? (x1 <= 5 ? .1 : .2) : .4; of answer 1: x1 missing ? 2 : 3, and a leaf alone."""
    return Trees(
        column=np.array([0, 1, LEAF, LEAF, LEAF, 1, LEAF, LEAF, LEAF]),
        value=np.array([1.0, 5.0, 0.1, 0.2, 0.4, np.inf, 3.0, 2.0, 0.5]),
        right=np.array([4, 3, 0, 0, 0, 7, 5, 5, 8]),
        missing=np.array([True, False, False, False, False, False, False, False, False]),
        roots=np.array([0, 5, 8]),
        answers=np.array([0, 1, 1]),
        start=np.array([10.0, -1.0]),
    )


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ((0, 5), (10.1, 2.5)),
        ((1, 5.1), (10.2, 2.5)),
        ((1.1, 0), (10.4, 2.5)),
        ((np.nan, 0), (10.1, 2.5)),
        ((0, np.nan), (10.2, 1.5)),
    ],
)
def test_leaves_are_added_to_the_start(trees, x, expected):
    for of in (trees, boosted.parse(boosted.as_rows(trees), trees.start)):
        np.testing.assert_allclose(of.log_odds(np.array([x, x], dtype=float)), [expected] * 2)


def test_scaled_log_odds_are_stretched_and_moved(trees):
    scaled = trees.scaled(np.array([2.0, 0.5]), np.array([1.0, -3.0]))
    x = np.array([[0.0, np.nan], [2.0, 1.0]])
    np.testing.assert_allclose(scaled.log_odds(x), trees.log_odds(x) * [2, 0.5] + [1, -3])


def test_no_tree_says_what_the_start_says():
    assert boosted.parse([], np.array([0.3])).log_odds(np.zeros((2, 1))).tolist() == [[0.3], [0.3]]
