"""A server's address as users, libpq, SQLAlchemy's drivers and Prefect write it.

A URL is kept as SQLAlchemy's with the words of libpq in its query. Several hosts stand in its query, as both take them:
`?host=one,two&port=5432,5433`; so does the folder of a Unix socket: `?host=/run/postgresql`.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote, urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from db.errors import DatabaseError

NAME_BYTES: Final = 63 - len("_prefect")
"""How long the name of our database may be: PostgreSQL cuts names at 63 bytes, and siblings and roles have longer ones."""

_HOSTS: Final = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<login>.*)@)?(?P<hosts>[^/?@]*)(?P<rest>(?:[/?].*)?)", re.S
)

ASYNCPG: Final = {
    "sslmode": "ssl",
    **{n: n for n in ("host", "port", "target_session_attrs", "passfile", "krbsrvname", "gsslib")},
}
"""Words of libpq that asyncpg takes, and how it spells them."""
ENVIRONMENT: Final = {
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "connect_timeout": "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT",
    "application_name": "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_APPLICATION_NAME",
}
"""Words of libpq that can't stand in Prefect's URL, and the variables by which its server, or asyncpg there, hears them."""
_SYSTEM_CA: Final = {"PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_TLS_ENABLED": "true"}
_SEARCH_PATH: Final = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_SEARCH_PATH"


def parsed(value: str, variable: str = "XRAY_DATABASE_URL") -> URL:
    """The URL, if it can be one. What the parser says is not repeated: it may quote a part of the password.

    Raises `DatabaseError`.
    """
    parts = _HOSTS.fullmatch(value.strip())
    url = _with_hosts(**parts.groupdict()) if parts and "@" not in (parts["login"] or "") else None
    if url is None:
        raise DatabaseError(
            f"{variable} is not a URL such as postgresql://user:password@host:5432/xray; "
            "in the password write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23 and % as %25"
        )
    if url.get_backend_name() not in ("postgresql", "postgres"):  # libpq takes either spelling
        raise DatabaseError(f"{variable} must name a PostgreSQL server, not {url.get_backend_name()!r}")
    if len(unquote(url.database or "").encode()) > NAME_BYTES:
        raise DatabaseError(
            f"{variable}: the name of database {url.database!r} is too long, at most {NAME_BYTES} bytes"
        )
    return url.set(drivername="postgresql+psycopg2", database=unquote(url.database or "xray"))


def _with_hosts(scheme: str, login: str | None, hosts: str, rest: str) -> URL | None:
    """The URL with its hosts in the query, unless it is one name or address."""
    before = f"{login}@" if login else ""
    addresses = [_host_and_port(host) for host in hosts.split(",")] if hosts else []
    plain = len(addresses) == 1 and not addresses[0][0].startswith("/")
    try:
        url = make_url(f"{scheme}://{before}{hosts if plain else ''}{rest}")
    except (ArgumentError, ValueError):
        return None
    values = url.query.get("host", ())
    if not plain and not addresses and not isinstance(values, str):  # SQLAlchemy's own way
        addresses = [_host_and_port(host) for host in values]
    if addresses and not plain:
        words = {
            "host": ",".join(host for host, _ in addresses),
            "port": ",".join(port for _, port in addresses),
        }
        url = url.difference_update_query(["host"]).update_query_dict(words)
    return url.set(
        username=url.username or _word(url, "user"),
        password=url.password or _word(url, "password"),
        query={name: value for name, value in url.query.items() if name not in ("user", "password")},
    )


def _word(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    return value if isinstance(value, str) else None


def _host_and_port(text: str) -> tuple[str, str]:
    """One host of a list, a name, an [address] or the folder of a socket (%2Frun%2Fpostgresql), and its port."""
    parts = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d*))?", text)
    host, port = (parts[1], parts[2]) if parts else (text, "")
    return unquote(host).strip("[]"), port or "5432"


def address(url: URL) -> str:
    """Where a server is, for a message: host and port, or the folder of its socket."""
    hosts = _word(url, "host") or url.host or _word(url, "hostaddr") or "the local socket"
    return f"{hosts}:{_word(url, 'port') or url.port or 5432}"


def text_of(url: URL) -> str:
    """The URL with its password."""
    return url.render_as_string(hide_password=False)


def libpq(value: str | URL) -> str:
    """A URL as libpq and psql take it.

    They know + as itself only, where SQLAlchemy writes it for a space, and want the name of a database quoted.
    """
    url = make_url(value).set(drivername="postgresql")
    url = url.set(database=quote(url.database or "", safe="") or None)
    query = urlencode(list(url.normalized_query.items()), doseq=True, quote_via=quote, safe="")
    return text_of(url.set(query={})) + (f"?{query}" if query else "")


def asyncpg(url: URL) -> str:
    """A URL as SQLAlchemy's asyncpg driver takes it, with what it can't understand left out."""
    query = {ASYNCPG[name]: value for name, value in url.query.items() if name in ASYNCPG}
    if url.query.get("sslrootcert") == "system":
        query.pop("ssl", None)
    address = url.query.get("hostaddr")
    if isinstance(address, str) and url.query.get("sslmode") != "verify-full":
        url, query["host"] = url.set(host=None), address
    return text_of(url.set(drivername="postgresql+asyncpg", query=query))


def prefect_variables(url: URL, schema: str | None) -> Mapping[str, str]:
    """What Prefect's server has to have in its environment beside the URL of `asyncpg`, to connect as this URL says.

    schema: in which its tables are, None for the usual one.
    """
    variables = {ENVIRONMENT[name]: str(value) for name, value in url.query.items() if name in ENVIRONMENT}
    if variables.get("PGSSLROOTCERT") == "system":
        del variables["PGSSLROOTCERT"]
        variables |= _SYSTEM_CA
    options = re.search(r"-c\s*search_path=(\S+)", str(url.query.get("options", "")))
    path = f"{schema},public" if schema else options[1] if options else ""
    return variables | ({_SEARCH_PATH: path} if path else {})
