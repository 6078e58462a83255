"""Files of a published layout: what is said of their columns is what was made of them."""

from pathlib import Path

from tests.xray.data.conftest import write_family
from xray.data.mapping.summary import summarise
from xray.data.protocol import load_protocol
from xray.data.sources.base import sources


def test_columns_that_were_read_are_not_listed_as_kept_only(tmp_path: Path) -> None:
    write_family(tmp_path)
    rules = load_protocol("corrected")
    table = sources()["nih"](tmp_path / "Data_Entry_2017.csv", None)
    summary = summarise(table, rules.rule("nih"), rules.name, "nih")
    uses = dict(summary.columns)
    assert uses["Finding Labels"] == "labels of 14 findings"
    fields = {"Image Index": "image", "Patient ID": "patient", "Patient Age": "age", "View Position": "view"}
    assert {column: uses[column] for column in fields} == fields
    assert uses["Follow-up #"] == "kept, and read where the layout of nih says so"
