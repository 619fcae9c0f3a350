"""A throw-away service account whose token address is the local server: unchanged Google clients sign in to it."""

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def write_credentials(path: Path, *, token_uri: str, project: str) -> None:
    """The JSON file that GOOGLE_APPLICATION_CREDENTIALS names, with a key made for it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "local",
        "private_key": encoded.decode(),
        "client_email": f"local@{project}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account))
    path.chmod(0o600)
