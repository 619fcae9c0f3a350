"""Who may ask what, and how much. It knows keys, scopes and limits; it knows nothing of lists or events."""

from serving.security.guards import ADMIN, READ, WRITE, Needs
from serving.security.keys import ApiKey, KeyRing, Scope

__all__ = ["ADMIN", "READ", "WRITE", "ApiKey", "KeyRing", "Needs", "Scope"]
