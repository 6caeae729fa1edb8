"""How often somebody may try a password: so many times in a while for each user name and address."""

from __future__ import annotations

import hashlib

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

log = structlog.get_logger()

ATTEMPTS = 8
WHILE = 15 * 60  # seconds


def attempt(username: str, address: str | None) -> bool:
    """Count one more attempt; whether it may go on.

    It is counted before the password is looked at, so that many at once gain nothing. Without the cache everybody may
    go on: people must be able to sign in and approve while it is down.
    """
    key = _key(username, address)
    try:
        cache.add(key, 0, WHILE)
        return cache.incr(key) <= ATTEMPTS
    except ValueError:  # it ran out between the two
        return True
    except (RedisError, OSError) as error:
        log.warning("sign-in attempts are not counted: the cache is down", error=str(error))
        return True


def forget(username: str, address: str | None) -> None:
    """The password was right: begin to count anew."""
    try:
        cache.delete(_key(username, address))
    except (RedisError, OSError) as error:
        log.warning("sign-in attempts are not forgotten: the cache is down", error=str(error))


def _key(username: str, address: str | None) -> str:
    # Digested: a name may hold what a cache key may not.
    return "sign-in:" + hashlib.sha256(f"{username.lower()}\n{address}".encode()).hexdigest()
