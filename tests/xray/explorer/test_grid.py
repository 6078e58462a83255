"""What a cell of the grid says, by its limit."""

import pytest

from xray.explorer.grid_page import blame, standing


@pytest.mark.parametrize(
    ("lower", "upper", "state"),
    [
        (0.75, 0.8, "works"),
        (0.7499, 0.9, "cannot say"),
        (0.6, 0.7499, "fails"),
        (0.6, 0.75, "cannot say"),
        (None, None, "cannot say"),
        (0.9, None, "cannot say"),
    ],
)
def test_a_cell_works_or_fails_only_if_its_whole_interval_does(
    lower: float | None, upper: float | None, state: str
) -> None:
    assert standing(lower, upper, 0.75) == state


def test_a_cell_names_the_cause_in_the_words_of_the_report() -> None:
    assert blame("label") == "labels that mean something else"
    assert blame("image + population") == "other images and other patients"
    assert [blame(verdict) for verdict in ("none", "cannot tell", None)] == ["", "", ""]
