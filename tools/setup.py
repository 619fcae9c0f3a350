"""Set up .venv from the hash-locked requirements. Runs on the system's own Python, before anything is installed.

    python3 tools/setup.py serve|platform|gcp|dev

What the system lacks is named with the line that installs it. A second run finds its mark and does nothing. Written without
newer syntax, so that an old Python says that it is too old instead of failing to read this file.
"""

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST, TOO_NEW = (3, 11), (3, 14)
EXTRAS = ("serve", "platform", "gcp", "dev")  # each holds the ones before it
VERSION = "{}.{}".format(*sys.version_info[:2])


def missing_packages():
    """(what is missing, Debian package) of everything the system itself has to bring."""
    missing = []
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        missing.append(
            (f"Python 3.11, 3.12 or 3.13 (this is {VERSION}: {sys.executable})", "python3.11 python3.11-venv")
        )
    elif not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        missing.append((f"the modules venv and ensurepip of {sys.executable}", f"python{VERSION}-venv"))
    if sys.platform == "linux" and not has_library("libgomp.so.1"):
        missing.append(("libgomp.so.1, which LightGBM and scikit-learn load", "libgomp1"))
    return missing


def has_library(name):
    """Whether the loader finds a shared library: asked the way Python's packages will ask."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def report(missing):
    say("This system lacks:")
    for what, _ in missing:
        say(f"  - {what}")
    packages = " ".join(package for _, package in missing)
    say(f"On Debian or Ubuntu this line installs it:\n\n    apt-get update && apt-get install -y {packages}\n")
    say("(with sudo when you are not root), then run the same command again.")


def mark_of(extra):
    """What .venv holds when `extra` is installed: the lock's content and the Python it was installed for."""
    lock = (ROOT / "requirements" / f"{extra}.txt").read_bytes()
    return f"{hashlib.sha256(lock).hexdigest()} python{VERSION}\n"


def installed_extra(wanted):
    """The extra of .venv that is up to date and holds `wanted`, None when there is none."""
    if not venv_works():
        return None
    for extra in EXTRAS[EXTRAS.index(wanted) :]:
        mark = VENV / f".installed-{extra}"
        if mark.exists() and mark.read_text() == mark_of(extra):
            return extra
    return None


def venv_works():
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    asked = subprocess.run(
        [str(python), "-c", "import sys; print('{}.{}'.format(*sys.version_info[:2]))"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() == VERSION


def make_venv():
    say(f"1/3 Making .venv with Python {VERSION} ({sys.executable})")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def install_uv():
    say("2/3 Installing uv, the installer")
    python = str(VENV / "bin" / "python")
    lock = str(ROOT / "requirements" / "uv.txt")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock]
    subprocess.run(command, check=True)


def install(extra):
    lock = f"requirements/{extra}.txt"
    say(
        f"3/3 Installing {lock} (about 1 GB to download the first time)"
        if extra != "serve"
        else f"3/3 Installing {lock}"
    )
    python = str(VENV / "bin" / "python")
    by_uv = [str(VENV / "bin" / "uv"), "pip", "install", "--python", python, "--require-hashes", "-r", lock]
    if subprocess.run(by_uv, cwd=str(ROOT), env=uv_environment(), check=False).returncode == 0:
        return
    say("uv could not install it. Trying pip, which reads your pip configuration and takes some minutes.")
    subprocess.run([python, "-m", "pip", "install", "--require-hashes", "-r", lock], cwd=str(ROOT), check=True)


def uv_environment():
    """This environment, with what pip was told about the network said in uv's words."""
    said_to_pip = {
        "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
        "PIP_CERT": "SSL_CERT_FILE",
        "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
    }
    translated = {ours: os.environ[theirs] for theirs, ours in said_to_pip.items() if theirs in os.environ}
    # Copying, where the cache lies on another disk, is not worth a warning.
    return {"UV_LINK_MODE": "copy" if on_another_disk() else "hardlink", **translated, **os.environ}


def on_another_disk():
    cache = Path(os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache")))
    return not cache.exists() or cache.stat().st_dev != VENV.stat().st_dev


def add_command():
    """The command `aisle`, without building a package: that would download a build tool no lock knows."""
    [packages] = (VENV / "lib").glob("python*/site-packages")
    (packages / "aisle.pth").write_text(f"{ROOT}\n")
    command = VENV / "bin" / "aisle"
    command.write_text(
        f"#!{VENV / 'bin' / 'python'}\nimport sys\n\nfrom orchestration.cli import entry_point\n\nsys.exit(entry_point())\n"
    )
    command.chmod(0o755)


def build_kernel():
    """The compiled part of the request path. Without a compiler everything works, more slowly; the tool says so."""
    subprocess.run([str(VENV / "bin" / "python"), "-m", "tools.build_kernel"], cwd=str(ROOT), check=False)


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments):
    if len(arguments) != 1 or arguments[0] not in EXTRAS:
        say(__doc__)
        return 2
    [extra] = arguments
    missing = missing_packages()
    if missing:
        report(missing)
        return 1
    found = installed_extra(extra)
    if found:
        say(f"Set-up: .venv is already there and up to date ({found}). Nothing to install.")
        build_kernel()
        return 0
    started = time.monotonic()
    if not venv_works():
        make_venv()
    else:
        say(f"1/3 Reusing .venv (Python {VERSION})")
    if shutil.which("uv", path=str(VENV / "bin")) is None:
        install_uv()
    else:
        say("2/3 Reusing uv")
    try:
        install(extra)
    except subprocess.CalledProcessError:
        say(
            f"Installing requirements/{extra}.txt failed; the reason stands above. Run the same command again to continue."
        )
        return 1
    add_command()
    build_kernel()
    (VENV / f".installed-{extra}").write_text(mark_of(extra))
    say(f"Set-up done in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
