"""The environment the service is deployed with: `requirements/serve.txt` and nothing else."""

import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements" / "serve.txt"


def service_python(folder: Path) -> str:
    """The interpreter of that environment, made in `folder` unless it is there already."""
    home, installed = folder / "serve-env", folder / "serve-env" / LOCK.name
    python = str(home / "bin" / "python")
    if not installed.exists() or installed.read_text() != LOCK.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
        installed.write_text(LOCK.read_text())
    return python
