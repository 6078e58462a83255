"""How models are named in text: those trained here by their training data, those from elsewhere by name."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from xray.report.judged import from_elsewhere, names

TRAINED: Final = "trained on"
MODEL: Final = "model"
TESTED: Final = "tested on"


@dataclass(frozen=True)
class Models:
    """The models of some rows. trained: whether any was trained here. elsewhere: the names of those that were not."""

    trained: bool = True
    elsewhere: frozenset[str] = frozenset()

    @property
    def bought(self) -> bool:
        """Whether all are from elsewhere."""
        return bool(self.elsewhere) and not self.trained

    @property
    def heading(self) -> str:
        """What heads their names in a figure or table."""
        return MODEL if self.elsewhere else TRAINED

    @property
    def rows(self) -> str:
        """What the rows of a grid are, for its caption."""
        if not self.elsewhere:
            return "what the model was trained on"
        if self.bought:
            return "the models"
        return (
            "the models, those trained here by what they were trained on, those from elsewhere by their names"
        )

    @property
    def axes(self) -> str:
        """What rows and columns of a grid are, for the line above it."""
        return f"rows: {self.heading}, columns: {TESTED}"

    def phrase(self, name: str) -> str:
        """One of them in a sentence: "trained on nih", "model vendor-a"."""
        return f"{MODEL if name in self.elsewhere else TRAINED} {name}"


OWN: Final = Models()
"""Those of a study that trains all of its models."""


def models_of(rows: pd.DataFrame) -> Models:
    """The models of result rows, by column `trained_on`, and `foreign` where any of the study is from elsewhere."""
    elsewhere = from_elsewhere(rows)
    return Models(not len(rows) or not elsewhere.all(), frozenset(names(rows))) if elsewhere.any() else OWN


def compared_with(rows: pd.DataFrame, own: str) -> str:
    """In words, what models are compared with (column `reference`): `own`, the test dataset's, or names from elsewhere."""
    elsewhere = set(names(rows))
    references = [str(name) for name in dict.fromkeys(rows["reference"])] if len(rows) else []
    foreign = [name for name in references if name in elsewhere]
    return " or ".join([*([own] if len(foreign) < len(references) else []), *foreign]) or own
