"""VOUCH_ARTIFACTS: where the bucket lies that files go to, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from core.errors import Invalid


class BadStore(Invalid):
    """{value!r} is no store for artifacts: {why}. Leave it empty for the disk, or give
    s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION&public=https://HOST&direct=no, where all after BUCKET may be
    left out."""

    field = "VOUCH_ARTIFACTS"


@dataclass(frozen=True)
class Address:
    """Where blobs lie: `endpoint` and `region` as we reach the bucket, when AWS's usual variables do not say so;
    `public` the endpoint as clients reach it, when it is another; `direct` whether they may be sent there at all."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    public: str = ""
    direct: bool = True


def address_of(value: str) -> Address:
    """VOUCH_ARTIFACTS, read. Raises BadStore."""
    parts = urlsplit(value)
    if parts.scheme != "s3" or not parts.netloc:
        raise BadStore(value=value, why="it does not begin with s3://BUCKET")
    given = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if unknown := sorted(given.keys() - {"endpoint", "region", "public", "direct"}):
        raise BadStore(value=value, why=f"there is no option {unknown[0]!r}")
    direct = given.pop("direct", "yes")
    if direct not in ("yes", "no"):
        raise BadStore(value=value, why="`direct` is yes or no")
    for name in ("endpoint", "public"):
        if name in given and not given[name].startswith(("https://", "http://")):
            raise BadStore(value=value, why=f"`{name}` does not begin with https://")
    prefix = parts.path.strip("/")
    return Address(parts.netloc, f"{prefix}/" if prefix else "", direct=direct == "yes", **given)
