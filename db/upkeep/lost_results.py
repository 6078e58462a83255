"""Analyses of which a migration takes something away: they must not seem to be up to date when it is undone."""

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text


@dataclass(frozen=True)
class Results:
    """What a table of results holds: its columns, and how many rows of each analysis."""

    columns: frozenset[str]
    rows: dict[int, int]


def stored_results(connection: Connection) -> dict[str, Results]:
    """Table → results, of every table whose rows belong to an analysis."""
    results = {}
    catalogue = inspect(connection)
    for table in catalogue.get_table_names():
        columns = frozenset(column["name"] for column in catalogue.get_columns(table))
        if "analysis_id" in columns:
            statement = f'select analysis_id, count(*) from "{table}" group by analysis_id'  # noqa: S608
            rows = connection.execute(text(statement)).all()
            results[table] = Results(columns, {analysis: n for analysis, n in rows})
    return results


def forget_lost(connection: Connection, before: dict[str, Results]) -> None:
    """Drop the analyses whose table is gone; those that lost a column or a row are computed again when asked for."""
    after = stored_results(connection)
    if not inspect(connection).has_table("analysis"):
        return
    for table, results in before.items():
        now = after.get(table)
        if now is None:
            statement = text("delete from analysis where id = any(:ids)")
            connection.execute(statement, {"ids": list(results.rows)})
            continue
        whole = results.columns <= now.columns
        stale = [
            analysis for analysis, n in results.rows.items() if not whole or now.rows.get(analysis, 0) < n
        ]
        connection.execute(text("update analysis set fingerprint = '' where id = any(:ids)"), {"ids": stale})
