"""One-shot: brings the databases of the platform, of MLflow and of Prefect to their current tables, and makes the bucket.

python -m flows.standing.migrate        with XRAY_DATABASE_URL and XRAY_ARTIFACTS; running it again changes nothing
"""

import os
import subprocess
import sys
from urllib.parse import urlparse

from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from db.connection import Databases, databases
from flows.standing.place import write_mlflow_auth
from xray import settings
from xray.errors import XrayError
from xray.learning.tracking import Tracker


def main() -> int:
    """Migrate everything; 0 when it is done."""
    home = settings.home()
    with databases(home) as found:
        environment = {**os.environ, "PREFECT_API_DATABASE_CONNECTION_URL": found.prefect}
        if _has_tables(found):
            _run([sys.executable, "-m", "mlflow", "db", "upgrade", found.mlflow], environment)
        Tracker(found.mlflow, settings.artifacts()).experiment(
            "Default"
        )  # makes the tables where there are none
        _run([sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"], environment)
    write_mlflow_auth(home)
    make_bucket(str(settings.artifacts()))
    return 0


def _has_tables(found: Databases) -> bool:
    with create_engine(found.mlflow, poolclass=NullPool).connect() as connection:
        return inspect(connection).has_table("alembic_version")


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


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment)
    if done.returncode:
        raise XrayError(f"{' '.join(command[1:5])} failed with {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
