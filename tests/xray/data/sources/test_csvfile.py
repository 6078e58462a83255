"""Reading CSV against Python's own csv module."""

import contextlib
import csv
import io
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from xray.data.sources.csvfile import read_csv
from xray.errors import DataError
from xray.names import near

cell = st.text(alphabet='ab,"é \n0', max_size=5)
tables = st.lists(st.tuples(st.sampled_from("xyz"), cell, cell), min_size=1, max_size=8)


@given(
    tables,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_written_table_is_read_back(
    rows: list[tuple[str, str, str]], ending: str, quoting: int, last_ending: bool
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=ending, quoting=quoting).writerows([("a", "b", "c"), *rows])  # type: ignore[arg-type]
    content = text.getvalue() if last_ending else text.getvalue().removesuffix(ending)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(content.encode())
        file = read_csv(path, ["a"])
    assert file.quarantine == []
    assert [tuple(row) for row in file.frame.to_numpy().tolist()] == rows
    lines, line = [], 2
    for row in rows:
        lines.append(line)
        line += 1 + sum(value.count("\n") for value in row)
    assert file.lines.tolist() == lines


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused_with_an_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(b"a,b\n1,2\n" + data)
        file = read_csv(path)
        assert len(file.lines) == len(file.frame)
        path.write_bytes(data)
        with contextlib.suppress(DataError):
            read_csv(path)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("pleural thickening", "Pleural_Thickening"),
        ("Pnuemonia", "Pneumonia"),
        ("ward", None),
        ("mask", None),
    ],
)
def test_near_finds_a_misspelt_name(name: str, nearest: str | None) -> None:
    assert near(name, ["Pleural_Thickening", "Pneumonia", "Mass"]) == nearest
