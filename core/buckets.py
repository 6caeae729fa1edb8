"""Connections to buckets of S3 and of what speaks like it: the one place that knows boto3, which is an extra."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from core.errors import Invalid


class NoBuckets(Invalid):
    """A bucket needs boto3: install the extra `s3` (pip install 'vouch[s3]')."""


@dataclass(frozen=True)
class Connection:
    """boto3's client, and what its calls raise: `refused` when the other side says no, `failed` when there is none."""

    client: Any
    refused: type[Exception]
    failed: type[Exception]


def connect(*, field: str, endpoint: str = "", region: str = "", read_timeout: int = 20) -> Connection:
    """A connection by AWS's usual variables, unless an endpoint or a region is given; opens nothing yet.

    `field` is the setting that named the bucket. Raises NoBuckets. Threads may share it.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise NoBuckets(field=field) from None
    options: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": read_timeout,
        "retries": {"total_max_attempts": 3},
        "max_pool_connections": 32,
        "signature_version": "s3v4",
        # What is kept carries a digest of its own, and not every such store knows the newer checksums.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    # What stands in for S3 seldom has a host name for each bucket.
    if endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        options["s3"] = {"addressing_style": "path"}
    client = boto3.session.Session().client(
        "s3", endpoint_url=endpoint or None, region_name=region or None, config=Config(**options)
    )
    return Connection(client, ClientError, BotoCoreError)


def missing(error: Exception) -> bool:
    """Whether the other side refused because there is no such object, or no such upload."""
    return code_of(error) in ("NoSuchKey", "NoSuchUpload", "NotFound", "404")


def code_of(error: Exception) -> str:
    """The other side's name for its refusal."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
