"""The map of features: standardised, without columns that never differ, of a stated sample where there are many images."""

import numpy as np
import pytest
from sklearn.manifold import TSNE

from xray.analyses import feature_map
from xray.analyses.features import Pooled


def pool(features, first=100):
    images = np.arange(first, first + len(features))
    return Pooled(
        7, "x", 3, np.asarray(features, np.float32), images, images, np.array(["PA"] * len(features), object)
    )


def points(rows):
    return np.array([(row["x"], row["y"]) for row in rows])


@pytest.fixture(scope="module")
def features():
    """Three columns of other size and place, and one that is the same everywhere."""
    rng = np.random.default_rng(2)
    return np.column_stack([rng.normal(size=(40, 3)) * [0.01, 0.3, 50] + [5, -2, 100], np.full(40, 4.0)])


def test_positions_are_those_of_tsne_on_standardised_features(features):
    rows = list(feature_map.compute(None, [], [pool(features)]))
    table = features.astype(np.float32).astype(np.float64)[:, :3]
    scaled = (table - table.mean(axis=0)) / table.std(axis=0)
    expected = TSNE(perplexity=13, init="pca", random_state=0).fit_transform(scaled)
    np.testing.assert_allclose(points(rows), expected, rtol=1e-3, atol=1e-3)
    assert [row["image_id"] for row in rows] == list(range(100, 140))
    assert {(row["evaluation_id"], row["trained_on"], row["seed"]) for row in rows} == {(7, "x", 3)}


def test_of_many_images_the_same_sample_is_shown_each_time(features, monkeypatch):
    monkeypatch.setattr(feature_map, "MOST", 12)
    first, second = (
        [row["image_id"] - 100 for row in feature_map.compute(None, [], [pool(features)])] for _ in range(2)
    )
    expected = np.sort(np.random.default_rng(0).permutation(40)[:12])
    assert first == second == expected.tolist()


@pytest.mark.parametrize(("rows", "columns"), [(7, 3), (40, 1)])
def test_too_few_images_or_columns_have_no_map(features, rows, columns):
    table = np.column_stack([features[:rows, :columns], np.full((rows, 4 - columns), 4.0)])
    assert list(feature_map.compute(None, [], [pool(table)])) == []


def test_eight_images_of_two_columns_have_one(features):
    table = np.column_stack([features[:8, :2], np.full((8, 2), 4.0)])
    assert len(list(feature_map.compute(None, [], [pool(table)]))) == 8
    assert list(feature_map.compute(None, [], [])) == []
