"""Why a flow run failed, in one line."""

import pytest

from flows.standing.status import LONGEST, reason_of


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Flow run encountered an exception StudyError: nih: add a site", "nih: add a site"),
        ("Flow run encountered an exception: xray.errors.DataError: two\nlines", "two"),
        ("Task run encountered an exception KeyError: 'nih'", "'nih'"),
        ("Process exited with status code: -9", "Process exited with status code: -9"),
        ("", "no reason is known: see xray logs"),
        ("x" * 1000, "x" * LONGEST + "…"),
    ],
)
def test_a_reason_is_one_line_without_the_words_around_it(message, reason):
    assert reason_of(message) == reason
