"""Brings a database to the current schema: alembic for tables, db/sql for views, functions and guards."""

import hashlib
import re
from importlib import resources
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db.errors import DatabaseError
from db.roles import grant_reading

_PARTS = ("functions", "guards", "views")
_CODE = ("results.py", "result_views.py")
_CREATES = re.compile(
    r"^create (?:or replace )?(?P<kind>view|function) (?P<name>\w+)(?P<arguments>\([^)]*\))?", re.M | re.I
)
_TRIGGERS = re.compile(
    r"^create (?:or replace |constraint )?trigger (?P<name>\w+)[^;]*?\son (?P<table>\w+)", re.M | re.I
)
_MARKED = """
select kind, name from (
    select 'view' as kind, oid, oid::regclass::text as name from pg_class where relkind = 'v' and pg_table_is_visible(oid)
        and obj_description(oid, 'pg_class') ~ '^db/sql( |$)'
    union all
    select 'function', oid, oid::regprocedure::text from pg_proc where pg_function_is_visible(oid)
        and obj_description(oid, 'pg_proc') ~ '^db/sql( |$)'
) as ours
order by oid desc
"""
"""Views and functions that db/sql made, whatever its text was, the last made first."""


def _files() -> list[str]:
    """The texts of db/sql, in the order in which they can be run."""
    root = resources.files("db") / "sql"
    folders = [root / part for part in _PARTS]
    files = [
        f
        for folder in folders
        for f in sorted(folder.iterdir(), key=lambda f: f.name)
        if f.name.endswith(".sql")
    ]
    return [f.read_text(encoding="utf-8") for f in files]


def _scripts() -> list[str]:
    """What makes an object, in the order in which it can be run: files of db/sql, and the views of result tables."""
    from db import result_views  # with all tables, which commands that only ask do without

    return [*_files(), *result_views.scripts()]


def create_objects(connection: Connection) -> None:
    """Create views, functions and guards, on the tables of the newest revision."""
    for script in _scripts():
        connection.execute(text(script.replace(":", r"\:")))
    for script in _scripts():
        for match in _CREATES.finditer(script):
            connection.exec_driver_sql(f"comment on {_signature(match)} is 'db/sql'")
    connection.exec_driver_sql(f"comment on view predictions is 'db/sql {_fingerprint()}'")
    # while the guards were away nobody counted
    connection.exec_driver_sql("insert into change (subject) values ('images'), ('studies')")


def _fingerprint() -> str:
    """Of what makes the objects: db/sql, and the code of result tables and of their views, which nobody imports for this."""
    code = [(resources.files("db") / name).read_text(encoding="utf-8") for name in _CODE]
    return hashlib.sha256("\n".join([*_files(), *code]).encode()).hexdigest()[:16]


def is_current(connection: Connection) -> bool:
    """Whether tables, views, functions and guards are those of this version; without alembic, as every command asks."""
    if connection.scalar(text("select to_regclass('alembic_version')")) is None:
        return False
    revision = connection.scalar(text("select version_num from alembic_version"))
    return revision == _newest() and _objects_are_current(connection)


def _newest() -> str:
    """The newest revision: what the names of the files in alembic/versions begin with."""
    return max((path.name.partition("_")[0] for path in _folder().glob("versions/[0-9]*.py")), default="")


def _folder() -> Path:
    return Path(__file__).resolve().parent.parent / "alembic"


def _objects_are_current(connection: Connection) -> bool:
    comment = connection.scalar(text("select obj_description(to_regclass('predictions'), 'pg_class')"))
    return comment == f"db/sql {_fingerprint()}"


def guards() -> set[tuple[str, str]]:
    """(table, name) of each trigger that db/sql makes."""
    return {(match["table"], match["name"]) for script in _scripts() for match in _TRIGGERS.finditer(script)}


def drop_objects(connection: Connection) -> None:
    """Drop our triggers, views and functions, those that only an earlier or later text had too.

    Raises `DatabaseError` where something of the user's own stands on them; dropping it is for the user to decide.
    """
    triggers = connection.execute(
        text(
            "select tgname, tgrelid::regclass::text from pg_trigger join pg_proc on pg_proc.oid = tgfoid"
            " where not tgisinternal and proname like 'guard%' and tgname = any(:names) and pg_table_is_visible(tgrelid)"
        ),
        {"names": [name for _, name in guards()]},
    ).all()
    for name, table in triggers:
        connection.exec_driver_sql(f"drop trigger {name} on {table}")
    marked = connection.execute(text(_MARKED)).all()
    for kind, name in marked:
        _drop(connection, f"{kind} if exists {name}")
    matches = [match for script in _scripts() for match in _CREATES.finditer(script)]
    for match in reversed(matches):  # those of before they were marked
        _drop(connection, _signature(match, " if exists"))


def _signature(match: re.Match[str], condition: str = "") -> str:
    """What a statement of db/sql creates, as `drop` and `comment on` name it: `function auc(real[], smallint[])`."""
    arguments = _argument_types(match["arguments"]) if match["kind"].lower() == "function" else ""
    return f"{match['kind'].lower()}{condition} {match['name']}{arguments}"


def _drop(connection: Connection, subject: str) -> None:
    from psycopg2.errors import DependentObjectsStillExist

    try:
        connection.exec_driver_sql(f"drop {subject}")
    except DBAPIError as error:
        if not isinstance(error.orig, DependentObjectsStillExist):
            raise
        raise DatabaseError(
            f"the database can't be brought up to date: {error.orig.diag.message_detail}. Nothing was changed. Keep its "
            "definition (select pg_get_viewdef('NAME')), drop it, run this again, and create it again"
        ) from None


def _argument_types(arguments: str) -> str:
    """`(logits real[], labels smallint[])` → `(real[], smallint[])`."""
    inner = arguments.strip("()")
    return "(" + ", ".join(part.split(maxsplit=1)[1] for part in inner.split(",") if part.strip()) + ")"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`; does nothing where it is there already. Safe when several processes call it."""
    _run(engine, "upgrade", revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take the database back to `revision`, tables and their rows included."""
    _run(engine, "downgrade", revision)


def _check_encoding(connection: Connection) -> None:
    encoding = connection.scalar(text("show server_encoding"))
    if encoding != "UTF8":
        name = connection.engine.url.database
        raise DatabaseError(
            f"the database {name} has the encoding {encoding}, which does not hold every name. Nothing was "
            "changed. Name another, made with: createdb --template template0 --encoding UTF8 NAME"
        )


def _run(engine: Engine, direction: str, revision: str) -> None:
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    from alembic import command

    folder = _folder()
    if not (folder / "env.py").is_file():
        raise DatabaseError(
            f"there are no migrations at {folder}: install xray from its checkout (pip install --editable .)"
        )
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    with engine.connect() as connection:
        _check_encoding(connection)
        connection.execute(text("select pg_advisory_lock(hashtext('xray migrations'))"))
        connection.commit()
        try:
            current = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
            target = (
                ScriptDirectory.from_config(config).get_current_head() if revision == "head" else revision
            )
            if direction == "upgrade" and current == target:
                if not _objects_are_current(connection):
                    drop_objects(connection)
                    create_objects(connection)
                grant_reading(connection)
                connection.commit()
                return
            config.attributes["connection"] = connection
            try:
                getattr(command, direction)(config, revision)
            except CommandError as error:
                raise DatabaseError(
                    f"the database can't go from schema {current} to {revision}: {error}. It belongs to a newer xray, "
                    "which must then be installed here too, or to another program: name another database"
                ) from None
            if direction == "upgrade" and revision == "head":
                grant_reading(connection)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(hashtext('xray migrations'))"))
            connection.commit()
