"""Names that would be code, paths or formulas somewhere: refused at the door, or shown everywhere as the text they are."""

import base64
import csv
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from flows.cli import cli
from flows.shown import _key as artifact_key
from flows.steps import Name
from xray.data.cohort_files import export_cohorts, import_cohorts
from xray.data.foreign_models import check_foreign_name, say_trained_on
from xray.data.named_cohorts import find_cohort
from xray.data.prediction_export import exported, write_csv
from xray.data.prediction_files import import_predictions
from xray.data.prepare import read_source, register_request
from xray.data.protocol import load_protocol
from xray.data.registered import read_named
from xray.data.request import DatasetRequest
from xray.errors import DataError, ForeignModelError, XrayError
from xray.learning.foreign_card import card_of, write_card
from xray.learning.foreign_import import import_model
from xray.report import captions, figures, page
from xray.report.answer import Answer, Cell, Row
from xray.report.parts.part import Part, plain
from xray.study import read_study

CARD = {"name": "t", "size": 16, "range": [0, 1], "output": "logit", "tasks": ["Mass"]}
STUDY = 'name = "{study}"\n{top}\n[[datasets]]\nname = "{dataset}"\nsite = "{site}"\n{more}'

REFUSED = [
    *("../x", "a/b", "/etc/passwd", "a\\b", ".", "..", "", "a b", "A", "a.b", "-a", "_a"),
    *("a\0b", "a\nb", "a\n", "a\rb", "a\tb", 'a"b', "a'b", "a;b", "a$b", "`a`", "$(a)", "a|b", "a*"),
    *("<script>", "a&b", "a%b", "%s", "{0}", "=1", "+1", "@a", "#a", "a" * 61, "a" * 10_000),
    *("\u202ea", "a\u200fb", "a\u2028b", "ａ", "é", "\x1b[31ma"),
]
"""No names of datasets, sites, studies, protocols, configurations or models."""

TAKEN = [
    *("=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "-12", "'quoted'", "'=x", "''+y", "＝1"),
    *(
        "\"><script>alert('x')</script>",
        "&amp;<b>",
        "<!-- -->",
        "]]>",
        "${7*7}{{7*7}}",
        "javascript:alert(1)",
    ),
    *(
        "a'; drop table image; --",
        'a"; select 1; --',
        "\\",
        "\\.",
        "\\N",
        "%s %(x)s {0}",
        "$1",
        ":name",
    ),
    *("../../etc/passwd", "/etc/passwd", "C:\\x", "a,b", "--help", "# {}", "é 漢字", "שלום", "x" * 500),
]
"""Names of images, as odd as their owners like."""
SET_ASIDE = [
    "a\nb",
    "a\tb",
    "a\x1b[31m",
    "\u202egnp.x",
    "a\u2066b",
    "a\u2028b",
    "\ufeffa b",
    "x" * 501,
    "a\x85b",
]


def toml(value: str) -> str:
    """The text within quotes of TOML."""
    return "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value)


def study_with(**names: str) -> Callable[[Path, str], object]:
    def read(folder: Path, name: str) -> object:
        parts = {"study": "s", "dataset": "d", "site": "t", "top": "", "more": "", **names}
        file = folder / "study.toml"
        file.write_text(
            STUDY.format(**{key: value.replace("NAME", toml(name)) for key, value in parts.items()})
        )
        return read_study(file)

    return read


def protocol_named(folder: Path, name: str) -> object:
    (folder / "p.toml").write_text(f'base = "corrected"\nname = "{toml(name)}"\n')
    return load_protocol(folder / "p.toml")


def command(*arguments: str) -> Callable[[Path, str], object]:
    """A command that ends before it opens the database."""

    def run(folder: Path, name: str) -> object:
        (folder / "l.csv").write_text("image_id,patient_id,path\n")
        words = [part.replace("FILE", str(folder / "l.csv")).replace("NAME", name) for part in arguments]
        result = CliRunner().invoke(cli, words)
        if isinstance(result.exception, XrayError):
            raise result.exception
        return result.exit_code or pytest.fail(f"taken: {result.output}")

    return run


DOORS: dict[str, Callable[[Path, str], object]] = {
    "dataset": lambda _, name: DatasetRequest(name, "s", "manifest", None, None, None),
    "site": lambda _, name: DatasetRequest("d", name, "manifest", None, None, None),
    "dataset add": command("dataset", "add", "--manifest", "FILE", "--site", "s", "--", "NAME"),
    "dataset add --site": command("dataset", "add", "d", "--manifest", "FILE", "--site=NAME"),
    "study": study_with(study="NAME"),
    "dataset of a study": study_with(dataset="NAME"),
    "site of a study": study_with(site="NAME"),
    "configuration": study_with(more='[[configuration]]\nname = "NAME"\n'),
    "foreign model of a study": study_with(top='foreign = ["NAME"]'),
    "protocol": protocol_named,
    "scores' model": lambda _, name: check_foreign_name(name),
    "model's card": lambda folder, name: import_model(
        None,
        None,
        folder / "m.onnx",
        card_of(CARD | {"name": name}, "card"),  # type: ignore[arg-type]
    ),
    "parameter of a deployment": lambda _, name: TypeAdapter(Name).validate_python(name),
}


@pytest.mark.parametrize("door", DOORS)
def test_an_invalid_name_is_refused_in_one_sentence(door, tmp_path):
    for name in REFUSED:
        if door == "dataset add --site" and not name:
            continue  # as if nothing were said
        with pytest.raises((XrayError, ValidationError)) as refused:
            DOORS[door](tmp_path, name)
        if isinstance(refused.value, XrayError):
            assert re.search(r"expected (lower-case|names of models|text|at most)", str(refused.value)), name
            assert "\n" not in str(refused.value), name
            assert "\x1b" not in str(refused.value), name
            assert len(str(refused.value)) < 500 + len(str(tmp_path)), name


def test_texts_of_a_card_have_no_control_characters(tmp_path):
    for key in ("citation", "note", "network"):
        with pytest.raises(ForeignModelError, match=f"card: {key}: expected text without control characters"):
            card_of({**CARD, key: "a\x1b[2Jb"}, "card")
    with pytest.raises(ForeignModelError, match="trained on: expected text without control"):
        say_trained_on(None, 1, ["nih\u202e"])  # type: ignore[arg-type]
    card = card_of({**CARD, "note": 'two\nlines "quoted" \\ and a\ttab', "citation": "=1+1 <b>"}, "card")
    write_card(card, tmp_path / "c.toml")
    from xray.learning.foreign_card import read_card

    assert read_card(tmp_path / "c.toml") == card


@pytest.fixture
def elsewhere(server: Any, _template: str) -> Engine:
    """Another database of the same server."""
    admin = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database elsewhere_names template {_template}"))
    return create_engine(server.url("elsewhere_names"), poolclass=NullPool)


def manifest(folder: Path, names: list[str]) -> Path:
    """Labels and pictures of images of these names; the pictures have plain ones."""
    folder.mkdir()
    random = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "patient_id", "path", "view", "Mass", "ward"])
        for number, name in enumerate(names):
            Image.fromarray(random.integers(0, 255, (32, 32), np.uint8)).save(folder / f"{number}.png")
            writer.writerow([name, name, f"{number}.png", "PA", number % 2, name[:100]])
    return folder / "labels.csv"


def added(engine: Engine, labels: Path) -> Any:
    request = DatasetRequest("odd", "odd", "manifest", labels, labels.parent, None)
    return register_request(engine, request, "corrected")


def test_names_of_images_are_read_back_unchanged(engine, elsewhere, tmp_path):
    """Through manifest, database, a published split, scores as CSV, and both of them read again, also elsewhere."""
    labels = manifest(tmp_path / "a", TAKEN)
    registration = added(engine, labels)
    assert (registration.n_images, registration.quarantine) == (len(TAKEN), [])
    added(elsewhere, labels)
    corrected = load_protocol("corrected")
    with engine.begin() as connection:
        assert set(connection.scalars(text("select name from image"))) == set(TAKEN)
        split = export_cohorts(connection, read_named(connection, "odd"), corrected)
        cohort = find_cohort(connection, "odd", "corrected", "test")
        images = list(cohort.images)
    (tmp_path / "split.csv").write_text(split, encoding="utf-8", newline="")
    with elsewhere.begin() as connection:
        _, new = import_cohorts(connection, read_named(connection, "odd"), corrected, tmp_path / "split.csv")
        assert not new, "the same hashes"
    frame = pd.DataFrame({"image": images, "Mass": np.linspace(-9, 9, len(images))})
    scores = tmp_path / "scores.csv"
    frame.to_csv(scores, index=False)
    with engine.begin() as connection:
        import_predictions(connection, scores, "first", cohort, "logit")
    output = io.StringIO()
    with engine.begin() as connection:
        write_csv(exported(connection, cohort, ["first"], "logit"), output)
    scores.write_text(output.getvalue(), encoding="utf-8", newline="")
    with elsewhere.begin() as connection:
        stored_cohort = find_cohort(connection, "odd", "corrected", "test")
        again = import_predictions(connection, scores, "again", stored_cohort, "logit", from_model="first")
    assert (again.n_images, again.n_missing) == (len(images), 0)
    for content in (split, output.getvalue()):
        rows = csv.reader(io.StringIO(content.partition("\n")[2] if content.startswith("#") else content))
        assert all(is_harmless(cell) for row in rows for cell in row)


def is_harmless(cell: str) -> bool:
    """Whether a spreadsheet takes a cell as text or number."""
    return cell[:1] not in tuple("=+-@\t\r") or re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell) is not None


def test_names_with_misleading_or_line_breaking_characters_are_set_aside(engine, tmp_path):
    registration = added(engine, manifest(tmp_path / "a", [*SET_ASIDE, *map(str, range(20))]))
    assert registration.n_images == 20
    reasons = [entry.reason for entry in registration.quarantine]
    assert len(reasons) == len(SET_ASIDE)
    assert all(
        "control characters" in reason or "at most 500 letters, has 501" in reason for reason in reasons
    )
    assert all(entry.image and entry.image.isprintable() for entry in registration.quarantine)


def test_paths_stay_within_the_folder_of_pictures(tmp_path):
    labels = manifest(tmp_path / "a", ["1", "2", "3", "4", "5"])
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "secret.png")
    lines = labels.read_text().splitlines()
    paths = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "x/../../secret.png",
        "a" * 5000 + "/1.png",
        "4.png",
    ]
    rows = [
        re.sub(r"\d\.png", path.replace("\\", r"\\"), line)
        for path, line in zip(paths, lines[1:], strict=True)
    ]
    labels.write_text("\n".join([lines[0], *rows]) + "\n")
    table = read_source("manifest", labels, labels.parent)
    assert table.rows["path"].tolist() == ["4.png"]
    reasons = [entry.reason for entry in table.quarantine]
    assert sum("points outside the image folder" in reason for reason in reasons) == 3
    assert sum("no such picture" in reason for reason in reasons) == 1


def test_a_published_split_cannot_name_a_file_to_read(tmp_path):
    (tmp_path / "split.csv").write_text(
        '# {"dataset": "d", "site": "s", "labeller": "l", "version": 1, "protocol": "/etc/passwd", "parts": {'
        '"train": {"images": 0, "image_list": "", "cohort": ""}, "test": {"images": 0, "image_list": "", "cohort": ""}}}\n'
        "part,image\n"
    )
    result = CliRunner().invoke(cli, ["cohort", "import", str(tmp_path / "split.csv")])
    assert isinstance(result.exception, DataError)
    assert "the rules of protocol '/etc/passwd' are not in the file" in str(result.exception)


class Markup(HTMLParser):
    """What a browser would make of a page: elements, attributes, text, and the pictures in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def drawing(names: list[str]) -> page.Drawing:
    """A part with a figure, a table and findings of these names."""
    from matplotlib.figure import Figure

    from xray.report import files

    frame = pd.DataFrame({"model": names, "value": np.linspace(0, 1, len(names))})
    figure = Figure((6, 6))
    axes = figure.subplots()
    axes.barh(range(len(names)), frame["value"])
    axes.set_yticks(range(len(names)), [name[:40] for name in names])
    table_part = plain("odd", names[0], frame)
    part = Part(
        "odd", names[0], names[1], names, frame, table_part.text, frame,
        caption=captions.Caption(names[0], names[1], " ".join(names)),
    )  # fmt: skip
    return page.Drawing(part, files.svg(figure), 6.0)


def page_of(names: list[str]) -> str:
    """A page with these names wherever one can stand."""
    counts = [(name, "test", None, 1, None) for name in names]
    study = page.Study(
        name=names[9],
        question=" ".join(names),
        protocol=names[10],
        network=names[11],
        configurations=names,
        seeds=[0],
        cohorts=pd.DataFrame(counts, columns=["dataset", "part", "task", "n", "n_pos"]),
        provenance=dict.fromkeys(names, names[9]),
        models=pd.DataFrame({name: names for name in names[:12]}),
    )
    texts = tuple(names)
    rows = tuple(Row(task, site) for task in texts[:3] for site in ("", texts[3]))
    cells = {(row, site): Cell(row, site, "fails", row.task, ()) for row in rows for site in texts[:3]}
    answer = Answer(rows, texts[:3], cells, texts, texts, texts)
    return page.render(
        title=names[9], answer=answer, study=study, parts=[drawing(names)], notes=names, commands=names
    )


@pytest.mark.filterwarnings("ignore:Glyph .* missing from")
def test_names_appear_as_plain_text_in_page_picture_and_table(tmp_path):
    odd = [name for name in [*TAKEN, *SET_ASIDE] if len(name) < 100]
    html, plain_html = page_of(odd), page_of([f"n{number}" for number in range(len(odd))])
    markup, expected = Markup(), Markup()
    markup.feed(html)
    expected.feed(plain_html)
    assert set(markup.tags) - {"wbr"} == set(expected.tags) - {"wbr"}, (
        "no element that plain names don't have"
    )
    assert {name for name, _ in markup.attributes} == {name for name, _ in expected.attributes}
    assert {value for name, value in markup.attributes if name in ("href", "id")} == {
        value for name, value in expected.attributes if name in ("href", "id")
    }
    for name in TAKEN:
        if len(name) < 100:
            assert name in markup.text
    (address,) = [value for name, value in markup.attributes if name == "src"]
    picture = ElementTree.fromstring(base64.b64decode((address or "").partition(",")[2]))
    elements = list(picture.iter())
    assert not {str(element.tag).rpartition("}")[2] for element in elements} & {
        "script",
        "foreignObject",
        "image",
        "a",
    }
    assert not [key for element in elements for key in element.attrib if key.lower().startswith("on")]
    links = [value for element in elements for key, value in element.attrib.items() if key.endswith("href")]
    assert all(link.startswith("#") for link in links)


def test_tables_behind_figures_hold_no_formula_and_file_names_are_plain(tmp_path):
    from matplotlib.figure import Figure

    frame = pd.DataFrame({"=model": TAKEN, "value": -1.5, "kind": pd.Categorical(["+x"] * len(TAKEN))})
    paths = figures.save(Figure((1, 1)), tmp_path / "figures", "odd", frame)
    rows = list(csv.reader(io.StringIO(paths[2].read_text(encoding="utf-8"), newline="")))
    assert rows[0] == ["'=model", "value", "kind"]
    assert {row[1] for row in rows[1:]} == {"-1.5"}
    assert all(is_harmless(cell) for row in rows for cell in row)
    for name in ("../x", "a/b", "", "-x", ".x", "a\0b", "a\nb"):
        with pytest.raises(ValueError, match="figure name"):
            figures.save(Figure((1, 1)), tmp_path / "figures", name, frame)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures"]


def test_keys_of_artifacts_are_letters_digits_and_dashes():
    for name in [*TAKEN, *REFUSED]:
        assert re.fullmatch(r"[a-z0-9-]*", artifact_key(name))
