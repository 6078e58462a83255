"""One-shot: brings the databases of the platform, of MLflow and of Prefect to their current tables, and makes the bucket.

python -m flows.standing.migrate        with XRAY_DATABASE_URL and XRAY_ARTIFACTS; running it again changes nothing
"""

import os
import sys
from urllib.parse import urlparse

from db.connection import databases
from flows import leave_garbage
from flows.migrations import prepare
from xray import settings
from xray.errors import XrayError


def main() -> int:
    """Migrate everything; 0 when it is done."""
    home = settings.home()
    with databases(home) as store:
        prepare(store, ("mlflow", "prefect"))
    make_bucket(str(settings.artifacts()))
    return 0


def make_bucket(uri: str) -> None:
    """Make the bucket of an s3:// URI where it is missing; other places need none. Raises `XrayError` without boto3."""
    parts = urlparse(uri)
    if parts.scheme != "s3":
        return
    try:
        import boto3
        from botocore.exceptions import ClientError
    except ImportError:
        raise XrayError("XRAY_ARTIFACTS is on S3, which needs boto3: pip install 'xray[s3]'") from None
    client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    try:
        client.head_bucket(Bucket=parts.netloc)
    except ClientError:
        client.create_bucket(Bucket=parts.netloc)


if __name__ == "__main__":
    leave_garbage()
    sys.exit(main())
