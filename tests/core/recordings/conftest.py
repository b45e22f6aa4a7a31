"""An S3-compatible server over HTTP, and the settings that send blobs to it."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "recordings-of-tests"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, settings: Any) -> Iterator[Any]:
    """A client of its own on an empty bucket; the server under test has the same settings as an operator gives."""
    settings.RECORDINGS_STORAGE = "s3"
    settings.RECORDINGS_S3_BUCKET = BUCKET
    settings.RECORDINGS_S3_ENDPOINT_URL = s3_server
    settings.RECORDINGS_S3_REGION = "eu-central-1"
    settings.RECORDINGS_S3_ACCESS_KEY = "access"
    settings.RECORDINGS_S3_SECRET_KEY = "secret"
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="eu-central-1",
        aws_access_key_id="access",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for found in client.list_objects_v2(Bucket=BUCKET, MaxKeys=1000).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.delete_bucket(Bucket=BUCKET)
