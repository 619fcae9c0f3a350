"""A server in a process of its own, on a core of its own: how long it takes to be ready, what it costs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

READY_WITHIN_S = 300.0


@dataclass(frozen=True)
class Server:
    """One that answers."""

    pid: int
    port: int
    ready_after_s: float
    """From the start of its process to the first 200 of its probe."""
    cpu_at_ready_s: float
    """CPU seconds it took until then."""

    @property
    def cpu_seconds(self) -> float:
        """So far, of all its threads."""
        return _cpu_seconds(self.pid)

    @property
    def rss_mb(self) -> float:
        """Resident now."""
        return self._status("VmRSS")

    @property
    def private_mb(self) -> float:
        """Resident and no file's: what the kernel cannot take back by reading it again."""
        return self._status("RssAnon")

    def _status(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


@contextmanager
def serving(
    arguments: list[str],
    *,
    core: int,
    probe: str,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Server]:
    """`python <arguments>` listening on the port the environment's PORT and AISLE_SERVICE_PORT name, on one core alone."""
    port = _free_port()
    # Installed packages keep their bytecode; a shell that forbids writing it would make every start compile everything.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told = {**inherited, **(environment or {}), "PORT": str(port), "AISLE_SERVICE_PORT": str(port)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", str(core), python, *arguments],
        env=told,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready_after_s = _ready_after(process, port, probe, begun)
        yield Server(process.pid, port, ready_after_s, _cpu_seconds(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def _ready_after(process: "subprocess.Popen[bytes]", port: int, probe: str, begun: float) -> float:
    while time.perf_counter() - begun < READY_WITHIN_S:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode} before it was ready.")
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", probe)
            if connection.getresponse().status == 200:
                return time.perf_counter() - begun
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"{process.args!r} was not ready within {READY_WITHIN_S:g} s.")


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
