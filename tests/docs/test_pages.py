"""What the pages of docs/ say is what the code does: relations and columns, queries, study keys, synthetic sites, links."""

import csv
import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from db.roles import READABLE
from xray.data.phantom.sites import Images, Labelling, load_sites
from xray.data.sources.base import sources
from xray.learning.recipe import Recipe
from xray.study import KINDS, QUESTION, read_study
from xray.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")),
]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_has_a_target(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", read(page)) + re.findall(r'src="([^"]+)"', read(page))
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_every_page_is_in_the_index_of_questions():
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", read("docs/README.md")))
    assert listed == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_decisions_are_numbered_and_each_is_linked_from_a_page():
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert len({page.name[:4] for page in pages}) == len(pages)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert re.findall(r"^## (\w+)$", text, re.M) == ["Context", "Decision", "Consequences"]
        assert len(text) < 4000


def test_the_queries_of_the_sql_page_run(blocks, installation):
    answers = {}
    for block in blocks("docs/sql.md", "sql"):
        rows = installation.ask(block.text)
        assert rows, f"docs/sql.md, line {block.line}: no row"
        answers[tuple(rows[0])] = rows
    agreement = {
        (row["dataset"], row["task"]): float(row["agreement"])
        for row in answers["dataset", "task", "agreement"]
    }
    assert agreement["phantom-a", "Mass"] == 1
    assert agreement["phantom-d", "Mass"] == 0
    assert agreement["phantom-d", "Infiltration"] < 0.9


def test_relations_have_the_columns_that_the_sql_page_names(installation):
    documented = {
        name: [
            c.strip()
            for row in re.findall(r"^\| ([\w, ]+) \|", table, re.M)
            for c in row.split(",")
            if row != "column"
        ]
        for name, table in re.findall(r"^### (\w+_?\w*)\n(.*?)(?=^###? )", read("docs/sql.md"), re.M | re.S)
        if name not in ("Functions", "Tables")
    }
    query = (
        "select table_name, column_name from information_schema.columns join information_schema.views using (table_name)"
        " where columns.table_schema = 'public'"
    )
    views: dict[str, set[str]] = {}
    for row in installation.ask(query):
        views.setdefault(row["table_name"], set()).add(row["column_name"])
    assert {name: set(columns) for name, columns in documented.items()} == views


def test_the_tables_that_the_sql_page_names_exist(installation):
    (paragraph,) = re.findall(r"^### Tables\n\n(.*?)\n\n", read("docs/sql.md"), re.M | re.S)
    names = set(re.findall(r"`(\w+)`", paragraph))
    query = "select table_name from information_schema.tables where table_schema = 'public'"
    tables = {row["table_name"] for row in installation.ask(query)}
    assert names == set(READABLE)
    assert names <= tables
    may_read = "select table_name from information_schema.table_privileges where privilege_type = 'SELECT'"
    granted = {row["table_name"] for row in installation.ask(f"{may_read} and table_schema = 'public'")}
    assert names <= granted
    assert tables - granted == {"alembic_version"} & tables


def test_study_keys_are_shown_with_their_defaults(blocks, tmp_path):
    (block,) = blocks("docs/your-own-study.md", "toml")
    (tmp_path / "whole.toml").write_text(block.text)
    whole = read_study(tmp_path / "whole.toml")
    shortest = 'name = "my-study"\n[[datasets]]\nname = "ours"\n'
    (tmp_path / "short.toml").write_text(shortest)
    short = read_study(tmp_path / "short.toml")
    for key in ("title", "question", "protocol", "kinds", "seeds", "recipe"):
        assert getattr(whole, key) == getattr(short, key), key
    assert (whole.kinds, whole.question) == (KINDS, QUESTION)
    example = tomllib.loads(block.text)
    fields = {field.name for field in dataclasses.fields(Recipe)} - {
        "network",
        "augmentation",
    } | {"name"}
    assert set(example["network"]) | set(example["training"]) == fields
    assert set(example["augmentation"]) == set(dataclasses.asdict(Recipe().augmentation))


def test_the_pages_name_every_task_and_reader():
    page = read("docs/your-own-study.md")
    flat = " ".join(page.split())
    assert ", ".join(TASKS) in flat
    names = re.search(r"published: (.*?)\.", flat)
    assert names
    own = {"manifest", "dicom", "labels"}
    assert set(re.findall(r"`(\w+)`", names[1])) == set(sources()) - own
    assert all(f"`{name}`" in flat or f'"{name}"' in flat for name in own)


def test_the_site_file_of_the_page_can_be_drawn(blocks, tmp_path, monkeypatch):
    (sites,) = blocks("docs/phantom-sites.md", "toml")
    (tmp_path / "my_sites.toml").write_text(sites.text)
    (site,) = load_sites(tmp_path / "my_sites.toml").values()
    assert site.images.noise == 0.06
    (program,) = blocks("docs/phantom-sites.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(program.text, {})
    assert {path.name for path in (tmp_path / site.name).iterdir()} >= {"labels.csv", "truth.csv", "images"}
    with (tmp_path / site.name / "labels.csv").open() as file:
        assert "Nodule" not in next(csv.reader(file))


def test_the_page_names_every_key_of_a_site():
    page = read("docs/phantom-sites.md")
    for part in (Images, Labelling):
        (comment,) = re.findall(rf"\.{part.__name__.lower()}\] +# (.*)", page)
        assert comment.split(", ") == [field.name for field in dataclasses.fields(part)]
