"""One-shot: brings the databases of the platform, of MLflow and of Prefect to their current tables, and makes the bucket.

python -m flows.standing.migrate        with XRAY_DATABASE_URL and XRAY_ARTIFACTS; running it again changes nothing
"""

import importlib.util
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlparse

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from db.alone import alone
from db.connection import Databases, databases
from flows.processes import die_with_parent
from flows.standing.place import Place, here
from flows.standing.servers import base_environment
from xray import settings
from xray.errors import XrayError

_UPGRADE = """
import asyncio
from prefect.server.database import provide_database_interface
from prefect.server.models.block_registration import run_block_auto_registration

async def upgrade():
    database = provide_database_interface()
    await database.create_db()
    async with await database.session() as session:
        await run_block_auto_registration(session=session)

asyncio.run(upgrade())
"""


def main() -> int:
    """Migrate everything; 0 when it is done."""
    from xray.learning.tracking import Tracker
    from xray.learning.tracking_server import upgrade_tables

    with databases(settings.home()) as found:
        upgrade_tables(found.mlflow)
        Tracker(found.mlflow, settings.artifacts()).experiment("Default")
        upgrade_prefect(here(), found)
    make_bucket(str(settings.artifacts()))
    return 0


def upgrade_prefect(place: Place, found: Databases) -> None:
    """Bring Prefect's tables to what this Prefect wants, with the kinds of blocks in them that a server expects.

    One process at a time: two that do it at once fail, which is why the servers themselves are told not to. Only a look,
    where there is nothing to do. Raises `XrayError` where Prefect can't.
    """
    try:
        with alone(_synchronous(found.prefect), "prefect tables") as connection:
            if _revision(connection) != wanted_revision() or not _has_blocks(connection):
                _upgrade(place, found)
    except OperationalError as error:
        raise XrayError(f"can't connect to Prefect's database: {str(error.orig).strip()}") from None


def _upgrade(place: Place, found: Databases) -> None:
    home = place.home / "prefect"
    home.mkdir(exist_ok=True)
    environment = base_environment(place, found)
    environment |= {"PREFECT_HOME": str(home), "PREFECT_API_DATABASE_CONNECTION_URL": found.prefect}
    done = subprocess.run(
        [sys.executable, "-c", _UPGRADE],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip()[-2000:]
        raise XrayError(f"Prefect could not make its tables in its database:\n{last}")


def wanted_revision() -> str:
    """The last of Prefect's migrations for PostgreSQL; read as text, as importing Prefect's server takes seconds."""
    prefect = importlib.util.find_spec("prefect")
    assert prefect is not None
    assert prefect.submodule_search_locations is not None
    folder = Path(prefect.submodule_search_locations[0]) / "server/database/_migrations/versions/postgresql"
    made: set[str] = set()
    before: set[str] = set()
    for file in folder.glob("*.py"):
        for name, value in re.findall(
            r"^(revision|down_revision)\b[^=\n]*=(.*)", file.read_text(encoding="utf-8"), re.MULTILINE
        ):
            (made if name == "revision" else before).update(re.findall(r"""["'](\w+)["']""", value))
    last = made - before
    if len(last) != 1:
        raise XrayError(f"Prefect's migrations in {folder} have no single end: {sorted(last)}")
    return str(last.pop())


def _synchronous(url: str) -> str:
    """The URL for psycopg2 of a database that is given for asyncpg."""
    found = make_url(url).set(drivername="postgresql+psycopg2")
    if "ssl" in found.query:  # asyncpg's word
        found = found.difference_update_query(["ssl"]).update_query_dict({"sslmode": found.query["ssl"]})
    return found.render_as_string(hide_password=False)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("select version_num from alembic_version"))


def _has_blocks(connection: Connection) -> bool:
    return bool(connection.scalar(text("select exists (select from block_type)")))


def make_bucket(uri: str) -> None:
    """Make the bucket of an s3:// URI where it is missing; other places need none. Raises `XrayError` without boto3."""
    place = urlparse(uri)
    if place.scheme != "s3":
        return
    try:
        import boto3
        from botocore.exceptions import ClientError
    except ImportError:
        raise XrayError("XRAY_ARTIFACTS is on S3, which needs boto3: pip install 'xray[s3]'") from None
    client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    try:
        client.head_bucket(Bucket=place.netloc)
    except ClientError:
        client.create_bucket(Bucket=place.netloc)


if __name__ == "__main__":
    sys.exit(main())
