"""A query that met its time limit is told a better way, where there is one."""

import pytest

from db.hints import slow_hint


@pytest.mark.parametrize("query", ["select count(*) from predictions", 'SELECT 1 FROM "Predictions" p'])
def test_slow_queries_of_predictions_get_a_hint_to_the_vectors(query: str) -> None:
    hint = slow_hint(query)
    assert hint is not None
    assert "prediction_vectors" in hint


@pytest.mark.parametrize("query", ["select * from auc_results", "select * from image_predictions('x')"])
def test_quick_queries_get_no_hint(query: str) -> None:
    assert slow_hint(query) is None
