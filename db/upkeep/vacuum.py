"""Room that deleted rows took is given back to the table, and what the planner knows of it is renewed."""

from sqlalchemy import text

from db.upkeep.dump import engine_of


def vacuum(url: str, full: bool = False) -> tuple[int, int]:
    """Vacuum and analyse a database, without its catalogue; its bytes before and after.

    full: tables are written anew and the room goes back to the disk; nobody can read a table meanwhile.
    """
    size = text("select pg_database_size(current_database())")
    tables = text(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname <> 'information_schema' and schemaname not like 'pg\\_%' order by 1"
    )
    with engine_of(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = connection.scalar(size) or 0
        for name in connection.scalars(tables).all():
            statement = f"vacuum ({'full, ' if full else ''}analyze) {name}"
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        return before, connection.scalar(size) or 0
