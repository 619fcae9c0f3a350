"""What each visitor did and saw lately, quick to ask. A copy of the feedback log that may lose things: then lists are staler, never wrong."""

from serving.online_store.embedded import EmbeddedStore
from serving.online_store.store import OnlineStore, Visit, subjects_of

__all__ = ["EmbeddedStore", "OnlineStore", "Visit", "subjects_of"]
