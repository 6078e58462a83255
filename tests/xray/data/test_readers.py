"""Labels of several readers: what each said is kept, the dataset's own follows by a named rule, and ties are said."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from db.findings import finding_ids
from db.upkeep.audits import run as run_audits
from xray.data.mapping.draft import draft
from xray.data.mapping.model import mapping_of, read_mapping
from xray.data.mapping.read import read_mapped
from xray.data.mapping.summary import summarise
from xray.data.prepare import read_source, register_request
from xray.data.protocol import load_protocol
from xray.data.readers import read_calls
from xray.data.register import Registration
from xray.data.remove import remove
from xray.data.request import DatasetRequest
from xray.data.sources.base import NOT_MENTIONED, SourceTable
from xray.data.sources.panel import Panel, count_votes
from xray.errors import DataError, ManifestError
from xray.tasks import TASK_INDEX

YES, NO, UNSURE, NOTHING = 1, 0, -1, NOT_MENTIONED
MASS, EDEMA = TASK_INDEX["Mass"], TASK_INDEX["Edema"]

WIDE = """image,doctor,age,Mass,Edema
a,Weber,50,1,0
a,Ito,50,1,1
a,Silva,50,0,
b,Weber,60,0,1
b,Ito,60,1,1
c,Silva,70,u,0
"""


def wide(folder: Path, content: str = WIDE, rule: str | None = None, **keys: object) -> SourceTable:
    (folder / "w.csv").write_text(content)
    mapping_keys = {"columns": {"reader": "doctor"}, "readers": {"rule": rule} if rule else {}, **keys}
    return read_mapped(folder / "w.csv", None, mapping_of(mapping_keys, "m.toml"), "m.toml")


@pytest.mark.parametrize(
    ("votes", "majority", "any_", "all_"),
    [
        ([YES, YES, NO], YES, YES, NO),
        ([YES, NO, NO], NO, YES, NO),
        ([YES, NO], UNSURE, YES, NO),
        ([YES, UNSURE], UNSURE, YES, UNSURE),
        ([NO, UNSURE], UNSURE, UNSURE, NO),
        ([YES, YES, UNSURE], YES, YES, UNSURE),
        ([YES, NO, UNSURE], UNSURE, YES, NO),
        ([UNSURE, UNSURE, NO], UNSURE, UNSURE, NO),
        ([YES, NOTHING, NOTHING], YES, YES, YES),
        ([NO, NOTHING], NO, NO, NO),
        ([NOTHING, NOTHING], NOTHING, NOTHING, NOTHING),
        ([YES, YES, NO, NO], UNSURE, YES, NO),
    ],
)
def test_the_rule_turns_votes_into_the_label(votes: list[int], majority: int, any_: int, all_: int) -> None:
    names = tuple(f"r{k}" for k in range(len(votes)))
    states = np.array(votes, np.int8)[:, None, None]
    for rule, expected in (("majority", majority), ("any", any_), ("all", all_), ("r1", votes[1])):
        panel = Panel(names, states, rule)
        assert panel.label()[0, 0] == expected, rule
        assert (panel.terms()[0, 0] is None) == (expected == NOTHING), rule


def test_rows_per_image_and_reader_are_merged_into_one_per_image(tmp_path: Path) -> None:
    table = wide(tmp_path)
    assert table.rows["image"].tolist() == ["a", "b", "c"]
    assert table.rows["age"].tolist() == [50, 60, 70]
    assert table.quarantine == []
    assert table.panel is not None
    assert table.panel.names == ("Ito", "Silva", "Weber")
    assert table.panel.states[:, :, MASS].tolist() == [[1, 1, NOTHING], [0, NOTHING, UNSURE], [1, 0, NOTHING]]
    assert table.states[:, MASS].tolist() == [YES, UNSURE, UNSURE]
    assert table.states[:, EDEMA].tolist() == [UNSURE, YES, NO]
    assert table.terms[0, MASS] == "majority: 2 positive, 1 negative, 0 uncertain"


@pytest.mark.parametrize(
    ("rule", "mass"), [("any", [YES, YES, UNSURE]), ("all", [NO, NO, UNSURE]), ("Weber", [YES, NO, NOTHING])]
)
def test_the_rule_comes_from_the_mapping(tmp_path: Path, rule: str, mass: list[int]) -> None:
    assert wide(tmp_path, rule=rule).states[:, MASS].tolist() == mass


def test_a_long_table_with_readers_gives_the_same_labels(tmp_path: Path) -> None:
    expected = wide(tmp_path)
    rows = [line.split(",") for line in WIDE.splitlines()[1:]]
    lines = [
        f"{i},{d},{a},{f},{v}"
        for i, d, a, *cells in rows
        for f, v in zip(("Mass", "Edema"), cells, strict=True)
    ]
    (tmp_path / "l.csv").write_text("\n".join(["image,doctor,age,finding,value", *lines]) + "\n")
    keys = {"columns": {"reader": "doctor"}, "long": {"finding": "finding", "value": "value"}}
    table = read_mapped(tmp_path / "l.csv", None, mapping_of(keys, "m"))
    assert table.quarantine == []
    np.testing.assert_array_equal(table.states, expected.states)
    assert table.panel is not None
    assert expected.panel is not None
    np.testing.assert_array_equal(table.panel.states, expected.panel.states)
    assert table.rows["image"].tolist() == ["a", "b", "c"]


def test_a_reader_who_did_not_list_a_finding_votes_no(tmp_path: Path) -> None:
    """A row per positive finding, as of boxes: who read an image and did not name a finding did not see it."""
    (tmp_path / "l.csv").write_text(
        "image,rad_id,finding\na,R1,Mass\na,R1,Mass\na,R2,No finding\na,R3,Mass\nb,R1,No finding\n"
    )
    table = read_mapped(tmp_path / "l.csv", None, mapping_of({"long": {"finding": "finding"}}, "m"))
    assert table.panel is not None
    assert table.panel.states[:, :, MASS].tolist() == [[1, 0], [0, NOTHING], [1, NOTHING]]
    assert table.states[:, MASS].tolist() == [YES, NO]


def test_labels_of_studies_by_several_readers_go_to_each_picture(tmp_path: Path) -> None:
    (tmp_path / "pictures.csv").write_text("name,study\ni1,a\ni2,a\ni3,b\n")
    content = WIDE.replace("image,", "accession,")
    keys = {"columns": {"reader": "doctor", "study": "accession"},
            "pictures": {"file": "pictures.csv", "image": "name", "study": "study"}}  # fmt: skip
    (tmp_path / "w.csv").write_text(content)
    table = read_mapped(tmp_path / "w.csv", None, mapping_of(keys, "m"))
    assert table.states[:, MASS].tolist() == [YES, YES, UNSURE]
    assert table.panel is not None
    assert table.panel.states.shape[:2] == (3, 3)
    assert [entry.row for entry in table.quarantine] == [7]  # study c has no picture


def test_every_row_is_a_vote_or_set_aside_with_a_reason(tmp_path: Path) -> None:
    bad = "a,Weber,50,0,0\nb,,60,1,1\n,Ito,60,1,1\nb,Silva,61,1,1\nc,Ito,70,perhaps,0\n"
    table = wide(tmp_path, WIDE + bad)
    assert [entry.row for entry in table.quarantine] == [8, 9, 10, 11, 12]
    reasons = [entry.reason for entry in table.quarantine]
    assert "this reader has an earlier row of this image" in reasons[0]
    assert "every row needs a reader" in reasons[1]
    assert "every row needs a name" in reasons[2]
    assert "'age'" in reasons[3]
    assert "an earlier row of this image disagrees" in reasons[3]
    assert "'Mass': 'perhaps'" in reasons[4]
    np.testing.assert_array_equal(table.states, wide(tmp_path).states)


def test_columns_that_differ_between_readers_are_named(tmp_path: Path) -> None:
    content = "\n".join(
        f"{line},{note}"
        for line, note in zip(WIDE.splitlines(), ["remark", "x", "y", "z", "x", "x", "x"], strict=True)
    )
    table = wide(tmp_path, content + "\n")
    assert [note for note in table.notes if "'remark'" in note and "first row" in note]
    assert table.rows["remark"].tolist() == ["x", "x", "x"]


def test_a_column_named_reader_counts_only_when_images_repeat(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("image,reader,Mass\na,Weber,1\nb,Ito,0\n")
    table = read_mapped(tmp_path / "one.csv", None, mapping_of({}, "m"))
    assert table.panel is None
    assert table.rows["reader"].tolist() == ["Weber", "Ito"]
    (tmp_path / "two.csv").write_text("image,reader,Mass\na,Weber,1\na,Ito,0\nb,Ito,0\n")
    table = read_mapped(tmp_path / "two.csv", None, mapping_of({}, "m"))
    assert table.panel is not None
    assert table.states[:, MASS].tolist() == [UNSURE, NO]


def test_a_drafted_mapping_finds_the_readers(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text(WIDE.replace("doctor", "Radiologist"))
    (tmp_path / "m.toml").write_text(draft(tmp_path / "w.csv"))
    keys = read_mapping(tmp_path / "m.toml")
    assert (keys.columns["reader"], keys.readers.rule) == ("Radiologist", "majority")
    table = read_mapped(tmp_path / "w.csv", None, keys)
    np.testing.assert_array_equal(table.states, wide(tmp_path).states)


@pytest.mark.parametrize(
    ("content", "rule", "reason"),
    [
        (WIDE, "Webber", "there is no rule or reader 'Webber'; did you mean 'Weber'"),
        (WIDE.replace("Ito", "any"), None, "a reader can't be called 'any'"),
        ("image,doctor,Mass\n" + "".join(f"a{k},d{k},1\n" for k in range(201)), None, "names 201 readers"),
    ],
)
def test_an_invalid_panel_of_readers_is_refused_with_the_reason(
    tmp_path: Path, content: str, rule: str | None, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        wide(tmp_path, content, rule)


def test_a_rule_without_readers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("image,Mass\na,1\n")
    with pytest.raises(ManifestError, match="no column of readers"):
        read_mapped(tmp_path / "x.csv", None, mapping_of({"readers": {"rule": "any"}}, "m"))
    with pytest.raises(DataError, match="one label per image"):
        read_source("labels", tmp_path / "x.csv", None, readers="any")


def test_disagreements_and_ties_are_counted_and_the_rule_is_named(tmp_path: Path) -> None:
    table = wide(tmp_path)
    assert table.panel is not None
    votes = {v.finding: (v.n, v.disagree, v.tied) for v in count_votes(table.panel, table.findings)}
    assert votes == {"Mass": (2, 2, 1), "Edema": (2, 1, 1)}
    rules = load_protocol("corrected")
    summary = summarise(table, rules.rule("manifest"), rules.name)
    assert summary.lines[-1] == (
        "readers: 'Ito' (2), 'Silva' (2), 'Weber' (2); 1 to 3 an image; rule 'majority': what more than half of an image's "
        "readers say, else uncertain: a tie is uncertain"
    )
    assert dict(summary.columns)["doctor"] == "reader"


def test_the_calls_of_a_cohort_are_aligned_with_its_images(engine: Engine, tmp_path: Path) -> None:
    """A cohort has some of a dataset's images, in an order of its own."""
    random = np.random.default_rng(7)
    words = random.choice(["1", "0", "u", ""], (40, 3))
    lines = [
        f"i{k},{name},{words[k, r]}" for r, name in enumerate(("A", "B", "C")) for k in random.permutation(40)
    ]
    (tmp_path / "w.csv").write_text("\n".join(["image,reader,Mass", *lines]) + "\n")
    request = DatasetRequest("calls", "calls-site", "labels", tmp_path / "w.csv", None, None, True)
    register_request(engine, request, "corrected")
    with engine.begin() as connection:
        cohort, images = connection.execute(
            text("select cohort.id, image_ids from cohort join image_list on image_list.id = image_list_id"
                 " join dataset on dataset.id = dataset_id where dataset.name = 'calls' and part = 'test'")
        ).one()  # fmt: skip
        names = [
            connection.scalar(text("select name from image where id = :id"), {"id": image})
            for image in images
        ]
        calls = read_calls(connection, cohort, finding_ids(connection, ("Edema", "Mass")))
        remove(connection, "calls")
    assert calls is not None
    assert 0 < len(names) < 40
    values = {"1": 1.0, "0": 0.0}
    expected = [[values.get(words[int(name[1:]), r], np.nan) for name in names] for r in range(3)]
    np.testing.assert_array_equal(calls.calls[:, :, 1], expected)
    assert np.isnan(calls.calls[:, :, 0]).all()
    assert (calls.names, calls.rule) == (("A", "B", "C"), "majority")


def add_wide(
    engine: Engine, folder: Path, name: str = "panel", readers: str | None = None, content: str = WIDE
) -> Registration:
    (folder / "w.csv").write_text(content)
    (folder / "m.toml").write_text('[columns]\nreader = "doctor"\n')
    request = DatasetRequest(
        name,
        "panel-site",
        "manifest",
        folder / "w.csv",
        None,
        None,
        True,
        mapping=folder / "m.toml",
        readers=readers,
    )
    return register_request(engine, request, "corrected", partial=True)


def test_each_readers_vote_is_stored_and_removed_with_the_dataset(engine: Engine, tmp_path: Path) -> None:
    add_wide(engine, tmp_path)
    assert add_wide(engine, tmp_path).unchanged
    with engine.begin() as connection:
        stored = connection.execute(
            text("select image, reader, state from reader_labels where dataset = 'panel' and task = 'Mass'"
                 " order by image, reader")
        ).all()  # fmt: skip
        assert [tuple(row) for row in stored] == [
            ("a", "Ito", "positive"),
            ("a", "Silva", "negative"),
            ("a", "Weber", "positive"),
            ("b", "Ito", "positive"),
            ("b", "Weber", "negative"),
            ("c", "Silva", "uncertain"),
        ]
        labels = connection.execute(
            text(
                "select image, state, source_term from labels where dataset = 'panel' and task = 'Mass' order by image"
            )
        ).all()
        assert [row.state for row in labels] == ["positive", "uncertain", "uncertain"]
        assert labels[1].source_term == "majority: 1 positive, 1 negative, 0 uncertain"
        assert connection.scalar(text("select reader_rule from dataset where name = 'panel'")) == "majority"
        outcomes = {outcome.audit.name: outcome.rows for outcome in run_audits(connection)}
        assert outcomes["reader_labels"] == outcomes["labels_without_source"] == ()
    with pytest.raises(DataError, match="with other content"):
        add_wide(engine, tmp_path, readers="any")
    with pytest.raises(DataError, match="with other content"):  # the label is the same, one vote is another
        add_wide(engine, tmp_path, content=WIDE.replace("a,Silva,50,0,", "a,Silva,50,1,"))
    with engine.begin() as connection:
        remove(connection, "panel")
        for table in ("reader", "reader_label"):
            assert connection.scalar(text(f"select count(*) from {table}")) == 0
    add_wide(engine, tmp_path, readers="any")
    with engine.begin() as connection:
        remove(connection, "panel")
