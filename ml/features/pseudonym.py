"""User ids that mean nothing outside the shop."""

from hashlib import sha256

DEVELOPMENT_KEY = "development-key-not-for-production"
"""Pseudonymises demo users. Refused wherever real people's data may be."""

MARK = "pseudonym:"
"""Before a user id of the raw tables that is a pseudonym already, as those of the service's own log are. The dbt macro takes what follows as
it is if it can be a pseudonym, 32 hexadecimal digits; any other id is hashed, however it begins."""


def pseudonym(user_id: str, key: str) -> str:
    """Keyed hash of a user id: the first 32 hex digits of sha256(key ':' id). The dbt macro `pseudonym` says the same.

    >>> pseudonym("u1", "k") == pseudonym("u1", "k") != pseudonym("u1", "other")
    True
    """
    return sha256(f"{key}:{user_id}".encode()).hexdigest()[:32]
