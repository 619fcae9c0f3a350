"""Objects by name, in a folder or in a Cloud Storage bucket, and folders kept there whole. Knows nothing of what is in them."""

from ml.storage.folders import download_folder, upload_folder
from ml.storage.mirror import Mirror
from ml.storage.objects import Content, ObjectStore, StoredObject, store_at
from ml.storage.series import Series

__all__ = [
    "Content",
    "Mirror",
    "ObjectStore",
    "Series",
    "StoredObject",
    "download_folder",
    "store_at",
    "upload_folder",
]
