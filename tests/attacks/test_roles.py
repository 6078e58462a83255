"""What a role of the embedded server tries and may not, with its own password and any client; what `xray sql` refuses."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors
from sqlalchemy.engine import make_url

from db.connection import Databases, embedded
from db.embedded import Server, acquire
from db.embedded.roles import NAMES
from db.errors import DatabaseError
from db.question import ask
from db.readers import grant, readers, revoke

ROLES = ("writer", "reader", "alice")
READERS = ("reader", "alice")


class Attacked:
    """A home with its roles, a personal reader `alice`, and what is to be kept."""

    def __init__(self, home: Path, server: Server, databases: Databases, password: str) -> None:
        self.home, self.server, self.databases = home, server, databases
        reader = make_url(databases.reader or "")
        self.urls = {
            "writer": make_url(databases.xray),
            "reader": reader,
            "alice": reader.set(username="alice", password=password),
        }
        self.looking = self.superuser()

    def connect(self, role: str, database: str = "xray") -> "psycopg2.extensions.connection":
        """As the role, with all that it may set for itself set in the attacker's favour."""
        url = self.urls[role].set(drivername="postgresql", database=database)
        connection = psycopg2.connect(url.render_as_string(hide_password=False))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("set default_transaction_read_only = off; set statement_timeout = '60s'")
        return connection

    def superuser(self) -> "psycopg2.extensions.connection":
        connection = psycopg2.connect(self.server.url("xray", driver=""))
        connection.autocommit = True
        return connection

    def content(self) -> list[tuple[object, ...]]:
        """What an attack may not change: rows, relations, functions, roles, large objects, settings."""
        question = """
        select 'task', count(*)::text from task
        union all select 'relation', row(oid::regclass, relowner::regrole, relacl)::text from pg_class
            where relnamespace = 'public'::regnamespace
        union all select 'temporary', count(*)::text from pg_class where relpersistence = 't'
        union all select 'schema', nspname from pg_namespace where nspname !~ '^pg_(toast_)?temp'
        union all select 'function', oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace
        union all select 'role', row(rolname, rolsuper, rolcreaterole, rolcreatedb)::text from pg_roles
        union all select 'extension', extname from pg_extension
        union all select 'large object', oid::text from pg_largeobject_metadata
        order by 1, 2"""
        with self.looking.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    home = tmp_path_factory.mktemp("attacked")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        urls = stack.enter_context(embedded(home))["writer"]
        server = stack.enter_context(acquire(home))
        with closing(psycopg2.connect(server.url("postgres", driver=""))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                password = grant(cursor, NAMES, "alice")
        attacked = Attacked(home, server, urls, password)
        stack.enter_context(closing(attacked.looking))
        yield attacked


FOR_ALL = {
    "make a table": "create table mine (x int)",
    "make a table elsewhere": "create schema mine create table mine (x int)",
    "change a table": "alter table site add column mine int",
    "drop a table": "drop table quarantine",
    "empty a table": "truncate site cascade",
    "drop a view": "drop view predictions",
    "replace a view": "create or replace view predictions as select 1",
    "switch guards off": "alter table image_list disable trigger all",
    "switch guards off for the session": "set session_replication_role = replica",
    "make a function": "create function mine() returns int language sql as 'select 1'",
    "make a function of the catalogue": "create function pg_catalog.mine() returns int language sql as 'select 1'",
    "run a block": "do $$ begin perform 1; end $$",
    "call": "create procedure mine() language sql as 'select 1'",
    "note another revision": "update alembic_version set version_num = '0001'",
    "become the superuser": "set role xray",
    "become the owner": "set role xray_owner",
    "become the superuser of the session": "set session authorization xray",
    "become the owner of the session": "set session authorization xray_owner",
    "become another by a function": "select set_config('role', 'xray_owner', false)",
    "run a program": "copy (select 1) to program 'touch {file}'",
    "read from a program": "copy site (name) from program 'id'",
    "write a file": "copy (select 1) to '{file}'",
    "read a file": "copy site (name) from '/etc/passwd'",
    "read a file by a function": "select pg_read_file('/etc/passwd')",
    "read bytes of a file": "select pg_read_binary_file('PG_VERSION')",
    "list a folder": "select pg_ls_dir('.')",
    "look at a file": "select pg_stat_file('PG_VERSION')",
    "read the log": "select pg_current_logfile()",
    "import a large object": "select lo_import('/etc/passwd')",
    "make a large object": "select lo_create(0)",
    "make a large object of bytes": "select lo_from_bytea(0, 'x')",
    "export a large object": "select lo_export(1, '{file}')",
    "reach another server": "create extension dblink",
    "reach another server by a wrapper": "create extension postgres_fdw",
    "reach a file by a wrapper": "create server mine foreign data wrapper file_fdw",
    "load a library": "load '/tmp/x.so'",
    "trust a language": "create extension plperlu",
    "change the server": "alter system set fsync = off",
    "reload the server": "select pg_reload_conf()",
    "end the session of another": "select pg_terminate_backend({pid})",
    "cancel the query of another": "select pg_cancel_backend({pid})",
    "send messages": "select pg_notify('x', 'y')",
    "be a superuser": "alter role current_user superuser",
    "make roles": "alter role current_user createrole",
    "make a role": "create role mine",
    "have more connections": "alter role current_user connection limit 1000",
    "have larger files": "alter role current_user set temp_file_limit = -1",
    "have larger files now": "set temp_file_limit = -1",
    "set another's password": "alter role xray_owner password 'x'",
    "join the owner": "grant xray_owner to current_user",
    "join the file readers": "grant pg_read_server_files to current_user",
    "read passwords": "select rolpassword from pg_authid",
    "read passwords by the view": "select passwd from pg_shadow",
    "read access rules": "select * from pg_hba_file_rules",
    "make a database": "create database mine",
    "drop a database": "drop database others",
    "change a database": "alter database xray set search_path = mine",
    "make an event trigger": "create event trigger mine on ddl_command_end execute function guard_frozen()",
    "publish": "create publication mine for all tables",
    "give a view to oneself": "alter view predictions owner to current_user",
    "write the catalogue": "update pg_class set relacl = null",
}  # fmt: skip

FOR_READERS = {
    "write": "insert into site (name, synthetic) values ('mine', true)",
    "change": "update model set seed = 9",
    "delete": "delete from evaluation",
    "merge": "merge into site using (select 1) as x on false when not matched then insert (name) values ('m')",
    "write in passing": "with gone as (delete from evaluation returning 1) select * from gone",
    "write by explaining": "explain analyze insert into site (name, synthetic) values ('mine', true)",
    "write through a view": "insert into predictions (model) values ('x')",
    "copy in": "copy site (name, synthetic) from stdin",
    "take a number": "select nextval('site_id_seq')",
    "set a number": "select setval('site_id_seq', 1)",
    "make a temporary table": "create temporary table mine (x int)",
    "make a temporary view": "create temporary view mine as select 1",
    "keep an answer": "select 1 as x into temporary mine",
    "prepare a write": "prepare mine as delete from evaluation; execute mine",
    "several statements": "commit; begin read write; create table mine (x int); commit",
    "a query in XML": "select query_to_xml('delete from evaluation returning 1', true, true, '')",
    "lock": "lock table evaluation in access exclusive mode",
    "lock rows": "select * from task for update",
    "hold up migrations": "select pg_advisory_lock(hashtext('xray migrations'))",
    "hold up migrations till the end": "select pg_advisory_xact_lock(1)",
    "try to hold up": "select pg_try_advisory_lock(1)",
    "read what is not documented": "select * from alembic_version",
}  # fmt: skip

TRIES = [(role, name, query) for role in ROLES for name, query in FOR_ALL.items()]
TRIES += [(role, name, query) for role in READERS for name, query in FOR_READERS.items()]


@pytest.mark.parametrize(("role", "attempt"), [pytest.param(r, w, id=f"{r}: {n}") for r, n, w in TRIES])
def test_a_role_is_refused_what_it_may_not_do(
    attacked: Attacked, tmp_path: Path, role: str, attempt: str
) -> None:
    before, file = attacked.content(), tmp_path / "written"
    with closing(attacked.superuser()) as other, closing(attacked.connect(role)) as connection:
        query = attempt.replace("{pid}", str(other.info.backend_pid)).replace("{file}", str(file))
        with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as refusal:
            cursor.execute(query)
        assert not isinstance(refusal.value, errors.SyntaxError | errors.UndefinedTable), str(refusal.value)
        with other.cursor() as cursor:
            cursor.execute("select 1")
    assert not file.exists()
    assert attacked.content() == before


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("database", ["mlflow", "prefect", "postgres", "template1"])
def test_other_databases_are_closed_to_every_role(attacked: Attacked, role: str, database: str) -> None:
    """The writer may enter those of MLflow and Prefect, whose clients and servers are writers."""
    if role == "writer" and database in ("mlflow", "prefect"):
        attacked.connect(role, database).close()
        return
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        attacked.connect(role, database)


@pytest.mark.parametrize("query", [pytest.param(w, id=n) for n, w in (FOR_ALL | FOR_READERS).items()])
def test_xray_sql_refuses_writes_locks_and_files(attacked: Attacked, tmp_path: Path, query: str) -> None:
    """Also where there is no role for readers, and the owner asks, who may read and lock what is its own."""
    before, file = attacked.content(), tmp_path / "written"
    owner = attacked.urls["reader"].set(username="xray_owner", password=_owner_password(attacked.home))
    for url in (attacked.urls["reader"], owner):
        if url is owner and re.search(r"^select (\* from alembic|pg_(try_)?advisory|set_config)", query):
            continue
        with pytest.raises(DatabaseError):
            _rows(
                url.render_as_string(hide_password=False),
                query.replace("{pid}", "1").replace("{file}", str(file)),
            )
    assert not file.exists()
    assert attacked.content() == before


OUT_OF_ONE = [
    "select 1; select 2",
    "commit; begin read write; create table mine (x int); commit",
    "select 1) to program 'touch {file}' --",
    "select 1) to program 'touch {file}'; select (1",
    "select 1 \n) to stdout; create table mine (x int); copy (select 1",
    "select 'a\\'; create table mine (x int); --'",
    "select $$a$$; create table mine (x int); --$$",
    "select 1 /* */; create table mine (x int) /* */",
    "close answer; create table mine (x int)",
    "",
    ";",
    "-- nothing",
    "alter role current_user password 'x'",
    "alter role current_user set default_transaction_read_only = off",
    "select set_config('transaction_read_only', 'off', false)",
    "set transaction read write",
    "notify x",
    "listen x",
    "vacuum",
    "checkpoint",
]


@pytest.mark.parametrize("query", OUT_OF_ONE)
def test_xray_sql_takes_only_one_reading_statement(attacked: Attacked, tmp_path: Path, query: str) -> None:
    before, file = attacked.content(), tmp_path / "written"
    for role in ("reader", "writer"):
        url = attacked.urls[role].render_as_string(hide_password=False)
        with pytest.raises(DatabaseError) as refusal:
            _rows(url, query.replace("{file}", str(file)))
        assert "\n" not in str(refusal.value)
    assert not file.exists()
    assert attacked.content() == before


def test_xray_sql_answers_a_reading_query(attacked: Attacked) -> None:
    for role in READERS:
        url = attacked.urls[role].render_as_string(hide_password=False)
        assert _rows(url, "select count(*) from task; -- all of them") == [(18,)]
        assert _rows(url, "select count(*) from predictions") == [(0,)]
        assert _rows(url, "show transaction_read_only") == [("on",)]
        assert _rows(url, "show temp_file_limit") == [("10GB",)]
        assert _rows(url, "select") == [()]
        text = "a\tb\\N\nc\r é"
        assert _rows(url, f"select '{text}', null, '', true, 0.1::real, array['x', null]") == [
            (text, None, "", True, 0.1, ["x", None])
        ]


@pytest.mark.parametrize("role", ROLES)
def test_grants_without_the_right_to_give_change_nothing(attacked: Attacked, role: str) -> None:
    """PostgreSQL warns of them and goes on."""
    before = attacked.content()
    with closing(attacked.connect(role)) as connection, connection.cursor() as cursor:
        cursor.execute("grant select on model to public")
        cursor.execute("revoke select on model from public")
        cursor.execute("alter default privileges in schema public grant all on tables to public")
    assert attacked.content() == before


def test_a_reader_gains_nothing_by_changing_its_own_password_and_settings(attacked: Attacked) -> None:
    """PostgreSQL leaves them to every role. The platform's own reader is put right when it is refused."""
    with closing(attacked.connect("alice")) as connection, connection.cursor() as cursor:
        cursor.execute("alter role alice set default_transaction_read_only = off")
        cursor.execute("alter role alice set statement_timeout = 0")
        cursor.execute("alter role alice password 'my-own-word'")
    attacked.urls["alice"] = attacked.urls["alice"].set(password="my-own-word")
    with closing(attacked.connect("alice")) as connection, connection.cursor() as cursor:
        cursor.execute("show statement_timeout")
        with pytest.raises(errors.InsufficientPrivilege):
            cursor.execute("delete from evaluation")
    with closing(attacked.connect("reader")) as connection, connection.cursor() as cursor:
        cursor.execute("alter role xray_reader password 'my-own-word'")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        with embedded(attacked.home) as logins:
            assert _rows(str(logins["writer"].reader), "select 1") == [(1,)]


def test_a_reader_is_created_renewed_and_removed(attacked: Attacked) -> None:
    with closing(attacked.superuser()) as connection, connection.cursor() as cursor:
        first = grant(cursor, NAMES, "bob")
        assert readers(cursor, NAMES) == ["alice", "bob"]
        second = grant(cursor, NAMES, "bob")
        url = attacked.urls["reader"].set(username="bob", password=second, drivername="postgresql")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(url.set(password=first).render_as_string(hide_password=False))
        with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as session:
            revoke(cursor, NAMES, "bob")
            with pytest.raises(psycopg2.OperationalError), session.cursor() as other:
                other.execute("select 1")
        assert readers(cursor, NAMES) == ["alice"]
        with pytest.raises(DatabaseError, match=r"there is no reader 'bob'; there are: alice"):
            revoke(cursor, NAMES, "bob")


@pytest.mark.parametrize("name", ["xray", "xray_owner", "xray_reader", "pg_monitor"])
def test_a_role_that_is_not_a_reader_is_left_alone(attacked: Attacked, name: str) -> None:
    before = attacked.content()
    with closing(attacked.superuser()) as connection, connection.cursor() as cursor:
        for change in (grant, revoke):
            with pytest.raises(DatabaseError, match=r"no reader|not a reader|can't be a reader"):
                change(cursor, NAMES, name)
    assert attacked.content() == before
    attacked.connect("writer").close()


@pytest.mark.parametrize("name", ["", "Alice", "1st", "a b", 'a"; drop role xray; --', "é", "a" * 64, "-x"])
def test_an_invalid_name_of_a_reader_is_refused(attacked: Attacked, name: str) -> None:
    connecting = closing(attacked.superuser())
    refused = pytest.raises(DatabaseError, match="can't be a reader's name")
    with connecting as connection, connection.cursor() as cursor, refused:
        grant(cursor, NAMES, name)


def test_no_password_is_in_a_log(attacked: Attacked) -> None:
    folder = attacked.home / "postgres"
    logs = (folder / "server.log").read_text() + (folder / "keeper.log").read_text()
    for file in folder.glob("*password"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() not in logs
    assert str(attacked.urls["alice"].password) not in logs
    assert not re.search(r"SCRAM-SHA-256\$", logs)


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    with ask(url, query) as answer:
        return [row for rows in answer.batches for row in rows]


def _owner_password(home: Path) -> str:
    return (home / "postgres" / "owner.password").read_text()
