"""The roles of a database server, so that nobody can do more than it needs.

| role | who | may |
|---|---|---|
| superuser | nobody, once the roles and databases are made | everything |
| owner | migrations and upkeep | make, change and drop objects |
| writer | commands, workers, the servers of MLflow and Prefect | rows of the tables: read, add, change, delete |
| reader | `xray sql`, pages, analysts | read the views and tables that docs/sql.md names |

Their names begin with that of our database: `xray_owner`, `xray_writer`, `xray_reader`.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from sqlalchemy import Connection

Role = Literal["owner", "writer", "reader"]
ROLES: Final[tuple[Role, ...]] = ("owner", "writer", "reader")
DATABASES: Final = ("xray", "mlflow", "prefect")
"""Ours, and those of the programs that we use."""
SIBLINGS: Final = DATABASES[1:]
"""The databases beside ours, or schemas in it, that the reader has no business in."""

READER_SETTINGS: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5min",
    "idle_in_transaction_session_timeout": "10min",
    "lock_timeout": "10s",
    "work_mem": "32MB",
    "client_connection_check_interval": "2s",
}
"""Where a reader begins. It may change these for itself: what it can't do is a matter of privileges."""
READER_LIMITS: Final = {"temp_file_limit": "10GB"}
"""What a reader can't change; only a superuser can set it."""
READER_CONNECTIONS: Final = 20

READABLE: Final = (
    "site", "task", "patient", "image", "planted_truth", "image_list", "dataset", "source_term", "label", "native_column",
    "label_rule", "quarantine", "protocol", "cohort", "cohort_label", "leakage", "model", "model_task", "training_cohort",
    "classifier", "foreign_training", "foreign_leakage", "study", "study_dataset", "study_model", "evaluation",
    "prediction", "feature", "listed_image", "cohort_label_piece", "dataset_task", "study_task", "worklist",
    "worklist_image", "worklist_read", "recalibration", "reader", "reader_label", "partial_result", "reread_plan",
    "intervention_evaluation", "intervention_score", "change",
)  # fmt: skip
"""The tables of `db.schema` that the reader may read, beside every view and the tables of results (docs/sql.md)."""


@dataclass(frozen=True)
class Names:
    """What the roles of one installation are called; `database` is the name of its own database."""

    database: str

    def of(self, role: Role) -> str:
        """The name of a role."""
        return f"{self.database}_{role}"


@cache
def _script(name: str) -> str:
    return (resources.files("db") / "sql" / "roles" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def fingerprint() -> str:
    """Changes with what the roles may do."""
    scripts = [_script(name) for name in ("take_over", "writing", "reading", "functions", "routines")]
    settings = repr((READER_SETTINGS, READER_LIMITS, READER_CONNECTIONS))
    return hashlib.sha256("\n".join([*scripts, settings]).encode()).hexdigest()[:16]


def make_roles(cursor: Any, names: Names, passwords: Mapping[Role, str]) -> None:
    """Make the roles of these passwords where they are missing, with nothing that they do not need.

    cursor: psycopg2's, of a role that may make roles, in no transaction. The passwords do not go over the line.
    """
    for role, password in passwords.items():
        make_role(cursor, names.of(role), password)
    limit_reader(cursor, names.of("reader"))


def note_roles(cursor: Any, names: Names) -> None:
    """Note at the writer that the roles are those of this version."""
    from psycopg2 import sql

    words = (sql.Identifier(names.of("writer")), sql.Literal(note()))
    cursor.execute(sql.SQL("comment on role {} is {}").format(*words))


def note() -> str:
    """What is noted at the writer's role once all roles are as this version wants them."""
    return f"xray roles {fingerprint()}"


def make_role(cursor: Any, name: str, password: str) -> None:
    """Make a role where it is missing, or set its password; it may log in, and nothing else."""
    from psycopg2 import sql
    from psycopg2.extensions import encrypt_password

    cursor.execute("select from pg_roles where rolname = %s", (name,))
    role = sql.Identifier(name)
    if cursor.rowcount == 0:
        cursor.execute(sql.SQL("create role {}").format(role))
    secret = encrypt_password(password, name, cursor.connection, "scram-sha-256")
    cursor.execute(sql.SQL("alter role {} login password {}").format(role, sql.Literal(secret)))


def limit_reader(cursor: Any, name: str) -> None:
    """How a reader begins, and what bounds it; `READER_LIMITS` where the cursor's role may set them.

    cursor: psycopg2's, in no transaction.
    """
    from psycopg2 import sql
    from psycopg2.errors import InsufficientPrivilege

    role = sql.Identifier(name)
    cursor.execute(sql.SQL("alter role {} connection limit {}").format(role, sql.Literal(READER_CONNECTIONS)))
    setting = sql.SQL("alter role {} set {} = {}")
    for setting_name, value in READER_SETTINGS.items():
        cursor.execute(setting.format(role, sql.Identifier(setting_name), sql.Literal(value)))
    for setting_name, value in READER_LIMITS.items():
        with contextlib.suppress(InsufficientPrivilege):
            cursor.execute(setting.format(role, sql.Identifier(setting_name), sql.Literal(value)))


def give_database(cursor: Any, names: Names, database: str, former: str) -> None:
    """Give a database and all that the role `former` has made in it to the owner, and close it to all but the roles.

    cursor: psycopg2's, of a superuser, in this database. The reader may enter our own database only.
    """
    from psycopg2 import sql

    words = {
        "owner_name": sql.Literal(names.of("owner")),
        "former_name": sql.Literal(_quoted(former, cursor)),
    }
    give = sql.SQL("alter database {} owner to {}")
    cursor.execute(give.format(sql.Identifier(database), sql.Identifier(names.of("owner"))))
    cursor.execute(sql.SQL(_script("take_over")).format(**words))
    let_in(cursor, names, database, "public", names.of("owner"))
    words |= {"writer_name": sql.Literal(names.of("writer"))}
    _on_routines(cursor, "functions", owner=sql.Identifier(names.of("owner")), **words)


def as_made(cursor: Any, names: Names) -> None:
    """Leave a database's functions as PostgreSQL makes them, and note that the next opening makes the roles anew.

    cursor: psycopg2's, of a superuser, in this database. For a dump that another version of PostgreSQL is to read.
    """
    from psycopg2 import sql

    words = {f"{role}_name": sql.Literal(names.of(role)) for role in ("owner", "writer")}
    cursor.execute(sql.SQL("comment on role {} is null").format(sql.Identifier(names.of("writer"))))
    _on_routines(cursor, "functions_as_made", **words)


def _on_routines(cursor: Any, script: str, **words: Any) -> None:
    """Run a script for the functions that routines.sql chooses."""
    from psycopg2 import sql

    cursor.execute(sql.SQL(_script(script)).format(routines=sql.SQL(_script("routines")), **words))


def let_in(cursor: Any, names: Names, database: str, schema: str, owner: str) -> None:
    """Let the writer use a schema, and the reader see it in our own database.

    cursor: of the schema's owner, or a superuser.
    """
    from psycopg2 import sql

    words = {role: sql.Identifier(names.of(role)) for role in ("writer", "reader")}
    words |= {
        "owner": sql.Identifier(owner),
        "schema": sql.Identifier(schema),
        "database": sql.Identifier(database),
    }
    for script in ["writing"] + ["reading"] * (database == names.database and schema not in SIBLINGS):
        cursor.execute(sql.SQL(_script(script)).format(**words))


def _quoted(name: str, cursor: Any) -> str:
    from psycopg2.extensions import quote_ident

    return str(quote_ident(name, cursor))


def grant_reading(connection: "Connection") -> None:
    """Let the roles use what a migration of our own database has made; nothing where there are no such roles.

    As the owner, in its transaction. The reader: views, documented tables, and results. The writer: not the note of the
    revision.
    """
    from sqlalchemy import text

    from db.results import Analysis

    names = Names(str(connection.scalar(text("select current_database()"))))
    quote = connection.dialect.identifier_preparer.quote
    present = set(connection.scalars(text("select rolname from pg_roles where rolname = any(:names)"),
                                   {"names": [names.of(role) for role in ROLES]}))  # fmt: skip
    if names.of("writer") in present:
        connection.exec_driver_sql(
            f"revoke insert, update, delete on alembic_version from {quote(names.of('writer'))}"
        )
    if names.of("reader") in present:
        views = connection.scalars(text("select viewname from pg_views where schemaname = current_schema()"))
        results = [name for name, table in Analysis.metadata.tables.items() if _is_result(table)]
        relations = ", ".join(quote(name) for name in [*views, *READABLE, *results])
        connection.exec_driver_sql(f"grant select on {relations} to {quote(names.of('reader'))}")


def _is_result(table: Any) -> bool:
    return table.name == "analysis" or "analysis_id" in table.columns


@dataclass(frozen=True)
class Fact:
    """Something that should hold of a server's roles, whether it does, and what was seen."""

    subject: str
    holds: bool
    state: str


_SEEN: Final = """
select current_user, rolsuper, rolcreaterole or rolcreatedb, has_schema_privilege(current_schema(), 'create'),
    has_database_privilege(current_database(), 'temporary'), current_setting('temp_file_limit'),
    has_function_privilege('lo_create(oid)', 'execute') from pg_roles where rolname = current_user
"""


def describe(writer: str, reader: str | None) -> list[Fact]:
    """What holds of the roles that commands and questions connect as, for `xray doctor`; no secret is in it.

    writer, reader: SQLAlchemy URLs of our database; reader None where `xray sql` asks as the writer.
    """
    facts = _facts("writer", writer)
    if reader is None:
        return [*facts, Fact("xray sql asks as a role that can only read", False, "there is no such role")]
    return facts + _facts("reader", reader)


def _facts(role: Role, url: str) -> list[Fact]:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    with create_engine(url, poolclass=NullPool).connect() as connection:
        row = connection.exec_driver_sql(_SEEN).one()
    user, superuser, makes_roles, makes_tables, temporary, limit, large_objects = row
    facts = [
        Fact(f"the {role} is no superuser", not superuser, user),
        Fact(f"the {role} makes no roles and databases", not makes_roles, user),
        Fact(f"the {role} makes no tables", not makes_tables, user),
        Fact(f"the {role} makes no large objects", not large_objects, user),
    ]
    if role == "reader":
        facts += [
            Fact("the reader makes no temporary tables", not temporary, user),
            Fact("the reader's temporary files are limited", limit != "-1", limit),
        ]
    return facts
