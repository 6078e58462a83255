"""What every result row is made with: numbers as the database takes them, and reasons that are names of what is missing."""

import numpy as np

NOT_LABELLED = "not labelled"
NOT_TRAINED = "not trained"


def number(value: float) -> float | None:
    """A float for the database: NaN is NULL."""
    return None if np.isnan(value) else float(value)
