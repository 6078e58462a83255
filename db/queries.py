"""Named queries: db/sql/queries/NAME.sql, each with a header that gives its grain, parameters and columns."""

from functools import cache
from importlib import resources


@cache
def query(name: str) -> str:
    """The text of db/sql/queries/`name`.sql; parameters are bound as :name (SQLAlchemy) or %(name)s (COPY)."""
    return (resources.files("db") / "sql" / "queries" / f"{name}.sql").read_text(encoding="utf-8")
