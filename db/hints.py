"""What to ask instead of what takes too long: the words for a query that met its time limit."""

import re

_PREDICTIONS = re.compile(r"\bpredictions\b", re.IGNORECASE)


def slow_hint(query: str) -> str | None:
    """A better way to a question about `predictions`, in one sentence; None where the query does not read them."""
    if not _PREDICTIONS.search(query):
        return None
    return (
        "a filter on image, model, test_dataset or task makes predictions quick; counts, names and whole cohorts are "
        "quicker from prediction_vectors (docs/sql.md, What to ask how)"
    )
