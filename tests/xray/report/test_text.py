import numpy as np
import pandas as pd

from xray.report.text import WIDTH, auc_table


def test_the_text_table_has_the_numbers_and_marks_of_the_frame(performance: pd.DataFrame) -> None:
    lines = auc_table(performance).splitlines()
    for row in performance[performance["seed"].isna()].itertuples():
        start = lines.index(row.task)
        head = lines[start + 1]
        (line,) = [line for line in lines[start + 2 : start + 5] if line.split()[0] == row.trained_on]
        column = head.index(row.test_dataset)
        cell = line[column : column + 15].strip()
        if np.isnan(row.auc):
            assert cell == "-    a"
        else:
            mark = "*" if row.n_pos < 10 else " "
            bounds = f"({row.lower:.2f}-{row.upper:.2f})".replace("0.", ".")
            assert cell == f"{row.auc:.2f}{mark}{bounds}"
    assert lines[-2:] == ["*: fewer than 10 of a class", "- a: not trained"]


def test_many_long_names_fit_the_terminal(performance: pd.DataFrame) -> None:
    frames = [
        performance.assign(
            test_dataset=performance["test_dataset"] + f"_of_the_university_hospital_{index}",
            trained_on=performance["trained_on"] + "-but-" + "x" * 40,
        )
        for index in range(5)
    ]
    text = auc_table(pd.concat(frames))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("trained on ") == 2 * 3  # ten columns in blocks of four, for both tasks
    assert text.count("hospital_4") == 4


def test_empty_and_undefined_frames_are_printed(performance: pd.DataFrame) -> None:
    assert auc_table(pd.DataFrame()) == "no results"
    undefined = auc_table(performance.assign(auc=np.nan, lower=np.nan, upper=np.nan, reason=None))
    assert undefined.count("-    a") == 12
    assert undefined.endswith("- a: undefined")
    one = auc_table(performance[:1].assign(auc=0.5, lower=np.nan))
    assert one.splitlines()[-1].split() == ["all", "0.50"]
