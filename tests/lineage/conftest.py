"""A bucket in the place of the disk, where a test asks for one."""

from tests.bucket import bucket, s3_server

__all__ = ["bucket", "s3_server"]
