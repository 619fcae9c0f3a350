"""Whether this machine may speak to Google Cloud at all: asked once, at the start, and not hours later."""

from importlib.util import find_spec

from ml.contract.errors import PlatformError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def require_google() -> None:
    """Google's clients are installed, and there are application default credentials. Asks nothing of Google's services.

    Raises:
        PlatformError: one of them is missing.
    """
    if missing := [
        name for name in ("google.auth", "google.cloud.bigquery", "google.cloud.storage") if not _is_there(name)
    ]:
        raise PlatformError(
            f"AISLE_PLATFORM=gcp needs Google's clients. Received: no {', '.join(missing)}. Install `aisle[gcp]`."
        )
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        raise PlatformError(
            f"AISLE_PLATFORM=gcp needs application default credentials. Received: {' '.join(str(error).split())} "
            "Set GOOGLE_APPLICATION_CREDENTIALS to a service account's file, attach a service account to this workload, or run "
            "`gcloud auth application-default login`."
        ) from error


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package it would be in
        return False
