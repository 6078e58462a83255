"""Migrations on a real server: up, down, up again, by several at once, and beside a user's own objects."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from db import migrate
from db.embedded import Server
from db.errors import DatabaseError
from db.migrate import downgrade, upgrade
from db.results import Analysis

PROJECT = Path(__file__).resolve().parents[2]

OBJECTS = """
select 'relation' as kind, relname::text as name, relkind::text as what from pg_class
    where relnamespace = 'public'::regnamespace
union all select 'function', proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
union all select 'trigger', tgname, tgrelid::regclass::text from pg_trigger where not tgisinternal
union all select 'type', typname, typtype::text from pg_type
    where typnamespace = 'public'::regnamespace and typrelid = 0 and typelem = 0
union all select 'view', viewname, definition from pg_views where schemaname = 'public'
union all select 'comment', objoid::text, description from pg_description
    where classoid = 'pg_class'::regclass and objoid in (
        select oid from pg_class where relnamespace = 'public'::regnamespace)
"""

TABLES = {
    "column": """
        select table_name, column_name, data_type, udt_name, is_nullable, column_default
        from information_schema.columns where table_schema = 'public' and table_name not in (
            select table_name from information_schema.views where table_schema = 'public')""",
    "constraint": """
        select conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(pg_constraint.oid)
        from pg_constraint where connamespace = 'public'::regnamespace and contype not in ('t', 'n')""",
    "index": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
}


@pytest.fixture
def empty(server: Server, request: pytest.FixtureRequest) -> Engine:
    """An engine on a new database without anything in it."""
    name = f"empty {request.node.name}"[:60]
    server.create_database(name)
    return create_engine(server.url(name), poolclass=NullPool)


def objects(engine: Engine) -> set[tuple[str, str, str]]:
    """Everything in the schema, but for alembic's note of the revision."""
    with engine.connect() as connection:
        objects_found = {(row.kind, row.name, row.what) for row in connection.execute(text(OBJECTS))}
    return {
        item for item in objects_found if not item[1].startswith("alembic_version") and item[0] != "comment"
    } | {("comment", "", item[2]) for item in objects_found if item[0] == "comment"}


def tables(engine: Engine) -> dict[str, set[tuple[object, ...]]]:
    """Columns, constraints and indexes as PostgreSQL describes them."""
    with engine.connect() as connection:
        kinds = {kind: {tuple(row) for row in connection.execute(text(sql))} for kind, sql in TABLES.items()}
    return {kind: {row for row in kinds[kind] if row[0] != "alembic_version"} for kind in kinds}


def head_revision() -> str | None:
    """The newest revision of the checkout."""
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).resolve().parents[2] / "alembic").replace("%", "%%")
    )
    return ScriptDirectory.from_config(config).get_current_head()


def view_id(connection: Connection) -> int | None:
    return connection.scalar(text("select 'predictions'::regclass::oid"))


def test_upgrade_downgrade_upgrade_gives_the_same_objects(empty: Engine) -> None:
    upgrade(empty)
    first = objects(empty)
    kinds = {item[0] for item in first}
    assert kinds == {"relation", "function", "trigger", "view", "comment"}
    assert ("relation", "predictions", "v") in first
    downgrade(empty)
    assert objects(empty) == set()
    upgrade(empty)
    assert objects(empty) == first
    downgrade(empty)
    downgrade(empty)
    assert objects(empty) == set()


def test_an_upgrade_of_a_current_database_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        before = view_id(connection)
    upgrade(engine)
    with engine.begin() as connection:
        assert view_id(connection) == before


def test_the_models_describe_the_migrated_schema(engine: Engine, empty: Engine) -> None:
    """By alembic's comparison, and by PostgreSQL's own description of both, names of constraints included."""
    Analysis.metadata.create_all(empty)
    migrated, modelled = tables(engine), tables(empty)
    for kind in TABLES:
        assert migrated[kind] == modelled[kind]
        assert len(migrated[kind]) > 20
    options = {"compare_type": True, "compare_server_default": True}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, Analysis.metadata)
    assert differences == []
    # that this comparison can fail:
    for change in (
        "alter table image alter column age type double precision",
        "alter table site alter column synthetic drop default",
        "alter table cohort rename constraint ck_cohort_part to other",
        "drop index ix_image_name",
        "alter table evaluation drop constraint fk_evaluation_model_id_model",
    ):
        with empty.begin() as connection:
            connection.execute(text(change))
        assert tables(empty) != modelled
        modelled = tables(empty)


def test_tasks_are_in_output_order(engine: Engine) -> None:
    from xray.tasks import TASKS

    with engine.connect() as connection:
        tasks = connection.execute(text("select id, name from task order by id")).all()
    assert [tuple(row) for row in tasks] == list(enumerate(TASKS))


def test_pieces_are_stored_uncompressed_in_their_rows(engine: Engine) -> None:
    """Neither compressed nor moved aside, so that one element is read with one page; no statistics of their elements."""
    column = (
        "select attstorage, attstattarget from pg_attribute"
        " where attrelid = cast(:table as regclass) and attname = :column"
    )
    with engine.connect() as connection:
        for table, name in (("prediction", "logits"), ("cohort_label_piece", "labels")):
            storage = connection.execute(text(column), {"table": table, "column": name}).one()
            assert tuple(storage) == ("p", 0)


def test_several_processes_may_upgrade_at_once(empty: Engine) -> None:
    script = (
        "import sys; from sqlalchemy import create_engine; from db.migrate import upgrade; "
        "engine = create_engine(sys.argv[1]); sys.stdin.readline(); upgrade(engine)"
    )
    url = empty.url.render_as_string(hide_password=False)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        for _ in range(3)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    with empty.connect() as connection:
        assert connection.execute(text("select version_num from alembic_version")).scalars().all() == [
            head_revision()
        ]
        assert connection.scalar(text("select count(*) from task")) == 18
        assert connection.scalar(text("select pg_try_advisory_lock(hashtext('xray migrations'))"))


def test_alembics_own_command_line_migrates(empty: Engine) -> None:
    url = empty.url.render_as_string(hide_password=False)
    for command in (["upgrade", "head"], ["downgrade", "base"]):
        run = subprocess.run(
            [sys.executable, "-m", "alembic", "-x", f"url={url}", *command],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        assert run.returncode == 0, run.stderr + run.stdout
        if command[0] == "upgrade":
            assert ("relation", "predictions", "v") in objects(empty)
    assert objects(empty) == set()


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the .sql files had been edited: a new message of a guard, and a column more in a view."""
    scripts = [
        script.replace("rows are frozen", "rows are set in stone").replace(
            " as label,\n    protocol.name", " as label,\n    1 as one,\n    protocol.name"
        )
        for script in migrate._files()
    ]
    monkeypatch.setattr(migrate, "_files", lambda: scripts)


def test_changed_text_is_applied_without_a_migration(
    engine: Engine, changed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("select one from predictions")).all() == []
        before = view_id(connection)
        function = connection.scalar(text("select pg_get_functiondef('guard_frozen'::regproc)"))
        assert function is not None
        assert "set in stone" in function
    upgrade(engine)
    with engine.connect() as connection:
        assert view_id(connection) == before
    monkeypatch.undo()
    upgrade(engine)
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="one"):
        connection.execute(text("select one from predictions"))


def test_broken_text_changes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = objects(engine)
    scripts = [*migrate._files(), "create view broken as select nothing_like_this from predictions"]
    monkeypatch.setattr(migrate, "_files", lambda: scripts)
    with pytest.raises(ProgrammingError, match="nothing_like_this"):
        upgrade(engine)
    assert objects(engine) == before


def test_a_view_of_the_user_is_kept(engine: Engine, changed: None) -> None:
    """It stops the change of what it stands on, by name, and stays; once it is out of the way all goes on."""
    for kind, on in (("view", "predictions"), ("materialized view", "predictions"), ("view", "auc_results")):
        with engine.begin() as connection:
            connection.execute(text(f"create {kind} my_own as select trained_on, task from {on}"))
        before = objects(engine)
        for move in (upgrade, downgrade):
            with pytest.raises(
                DatabaseError, match=rf"{kind} my_own depends on view {on}.*drop it"
            ) as caught:
                move(engine)
            assert "Nothing was changed" in str(caught.value)
            assert objects(engine) == before
        with engine.begin() as connection:
            assert connection.execute(text("select * from my_own")).all() == []
            connection.execute(text(f"drop {kind} my_own"))
    upgrade(engine)
    with engine.connect() as connection:
        connection.execute(text("select one from predictions"))


def test_tables_and_triggers_of_the_user_are_left_alone(engine: Engine, changed: None) -> None:
    with engine.begin() as connection:
        connection.execute(text("create table notes (id integer)"))
        connection.execute(
            text(
                "create function guard_notes() returns trigger language plpgsql as 'begin return new; end';"
                " create trigger guard_notes before insert on notes for each row execute function guard_notes()"
            )
        )
    own = {item for item in objects(engine) if "notes" in item[1]}
    assert len(own) == 3
    upgrade(engine)
    assert own <= objects(engine)
    downgrade(engine)
    assert objects(engine) == own


def test_a_database_of_a_newer_xray_or_another_program_is_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = 'ffff'"))
    before = objects(engine)
    with pytest.raises(DatabaseError, match=r"from schema ffff to head.*newer xray.*another database"):
        upgrade(engine)
    assert objects(engine) == before


def test_a_database_in_another_encoding_is_refused(server: Server) -> None:
    admin = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(
            "create database ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
        )
    engine = create_engine(server.url("ascii"), poolclass=NullPool)
    with pytest.raises(DatabaseError, match=r"ascii has the encoding SQL_ASCII.*--encoding UTF8"):
        upgrade(engine)
    assert not objects(engine)


def test_the_lock_is_released_after_an_error(engine: Engine) -> None:
    pooled = create_engine(engine.url)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = 'ffff'"))
    for _ in range(2):
        with pytest.raises(DatabaseError, match="ffff"):
            upgrade(pooled)
    with engine.begin() as connection:
        assert connection.scalar(text("select pg_try_advisory_lock(hashtext('xray migrations'))"))
    pooled.dispose()


def test_migrating_needs_a_checkout(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "db" / "migrate.py"))
    with pytest.raises(DatabaseError, match=r"there are no migrations at .*checkout"):
        upgrade(engine)


def test_views_and_functions_that_left_the_text_are_dropped(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view and a function that an older or newer code made, the one on the other, don't stay behind."""
    before = objects(engine)
    former = (
        "create or replace function former(first integer, second text) returns integer language sql as 'select 1';",
        "create or replace view of_old as select former(1, 'a') as one, count(*) from predictions;",
    )
    with monkeypatch.context() as patch:
        scripts = [*migrate._files(), *former]
        patch.setattr(migrate, "_files", lambda: scripts)
        upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("select one from of_old")) == 1
    upgrade(engine)
    assert objects(engine) == before


def test_the_newest_revision_is_known_without_alembic():
    """A command that may not migrate sees by the files' names whether the database is up to date."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrate._folder()).replace("%", "%%"))
    assert migrate._newest() == ScriptDirectory.from_config(config).get_current_head()


@pytest.mark.parametrize("name", ["results.py", "result_views.py"])
def test_changed_code_of_result_views_is_another_fingerprint(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is read as text: a command that only asks imports no tables."""
    before = migrate._fingerprint()
    shutil.copytree(PROJECT / "db", tmp_path / "db", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate.resources, "files", lambda package: tmp_path / package)
    assert migrate._fingerprint() == before
    with (tmp_path / "db" / name).open("a") as code:
        code.write("# another column\n")
    assert migrate._fingerprint() != before
