"""Which images and labels a configuration chooses."""

import json

import numpy as np
import pandas as pd
import pytest

from xray.configuration import Condition, Configuration, chosen_labels, chosen_rows, configuration_of
from xray.errors import LearningError
from xray.tasks import TASKS

ROWS = pd.DataFrame(
    {
        "image_id": range(5),
        "path": "x",
        "sex": ["M", "F", "M", None, "M"],
        "age": [17.0, 18.0, 65.0, 40.0, np.nan],
        "scanner": ["12", "x", "", "13.5", None],
    }
)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), [0, 1, 2, 3, 4]),
        ((Condition("sex", ("M",)),), [0, 2, 4]),
        ((Condition("sex", ("F", "M")),), [0, 1, 2, 4]),
        ((Condition("age", least=18, most=65),), [1, 2, 3]),
        ((Condition("age", most=18),), [0, 1]),
        ((Condition("scanner", least=12.5),), [3]),
        ((Condition("sex", ("M",)), Condition("age", least=18)), [2]),
    ],
)
def test_conditions_select_rows_that_fit_all_of_them(conditions, expected):
    assert np.flatnonzero(chosen_rows(ROWS, conditions, "nih")).tolist() == expected


def test_an_unknown_column_is_named():
    with pytest.raises(
        LearningError,
        match=r"nih: there is no column 'Sex' to choose images by; its columns: age, scanner, sex",
    ):
        chosen_rows(ROWS, [Condition("Sex", ("M",))], "nih")


def test_labels_of_other_tasks_are_removed():
    labels = np.ones((2, len(TASKS)), np.float32)
    assert chosen_labels(labels, TASKS, ()) is labels
    labels_left = chosen_labels(labels, TASKS, ("Mass", "Edema"))
    assert [TASKS[i] for i in np.flatnonzero((labels_left == 1).all(axis=0))] == ["Edema", "Mass"]
    assert np.isnan(labels_left).sum() == 2 * (len(TASKS) - 2)


def test_a_configuration_is_read_back_from_json():
    configuration = Configuration(
        "men", ("a", "b"), ("Mass",), (Condition("sex", ("M",)), Condition("age", least=3))
    )
    assert configuration_of(json.loads(json.dumps(configuration.plain()))) == configuration
    assert [str(condition) for condition in configuration.where] == ["sex = M", "age from 3"]
