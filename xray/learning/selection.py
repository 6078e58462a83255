"""Which epoch of a training is kept. A rule is a function of mean validation AUCs; its name stands in the recipe."""

import math
from collections.abc import Callable
from typing import Final


def best_validation_auc(new: float, best: float) -> bool:
    """Whether an epoch of mean validation AUC `new` replaces the one kept: where it is higher, or that is undefined."""
    return new > best or math.isnan(best)


def last_epoch(new: float, best: float) -> bool:
    """Every epoch replaces the one before."""
    return True


RULES: Final[dict[str, Callable[[float, float], bool]]] = {
    "best mean validation AUC": best_validation_auc,
    "last epoch": last_epoch,
}
"""By their names in study files. The mean is over tasks that have both classes in the validation part (protocol §7)."""
