"""The local servers as one object."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.local_gcp.credentials import write_credentials

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


class LocalGcp:
    """BigQuery (REST and Storage Read) and Cloud Storage in one child process, on ports that stay the same.

    A child, so that a client in the test's own process cannot dead-lock with it, and so that a test may kill or pause it.
    All state is in its memory: a restart begins empty.
    """

    def __init__(self, *, project: str = "aisle-local", bucket: str = "aisle-local", port: int = 0) -> None:
        """`port` is that of the BigQuery REST server; 0 finds a free one. The others are always free ones."""
        self.project = project
        self.bucket = bucket
        self._port, self._grpc_port, self._storage_port = _free_ports(port)
        self._process: subprocess.Popen[bytes] | None = None
        self._resources = ExitStack()
        folder = Path(self._resources.enter_context(TemporaryDirectory(prefix="local-gcp-")))
        self._credentials = folder / "credentials.json"
        self._log = folder / "log"
        write_credentials(self._credentials, token_uri=f"{self.bigquery_url}/token", project=project)

    @property
    def bigquery_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def storage_url(self) -> str:
        return f"http://127.0.0.1:{self._storage_port}"

    @property
    def read_api(self) -> str:
        """host:port of the Storage Read API, gRPC without TLS."""
        return f"127.0.0.1:{self._grpc_port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def environment(self) -> dict[str, str]:
        """The variables with which unchanged Google clients, dbt and Aisle find the servers."""
        return {
            "BIGQUERY_EMULATOR_HOST": self.bigquery_url,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self.read_api,
            "STORAGE_EMULATOR_HOST": self.storage_url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self._credentials),
            "GOOGLE_CLOUD_PROJECT": self.project,
            "AISLE_GCP_PROJECT": self.project,
            "AISLE_GCP_BUCKET": self.bucket,
        }

    # -- life ----------------------------------------------------------------------------------------------------------

    def __enter__(self) -> "LocalGcp":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._resources.close()

    def start(self) -> None:
        """Starts the servers on their ports and waits until they answer."""
        ports = [str(port) for port in (self._port, self._grpc_port, self._storage_port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.local_gcp.serve", *ports, self.bucket],
                cwd=ROOT,
                env={**os.environ, "TZ": "UTC"},
                stdout=log,
                stderr=log,
            )
        self.wait()

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Until /healthz answers: Google's clients retry for minutes where nobody listens."""
        until = time.monotonic() + seconds
        while not self._healthy():
            if self._running().poll() is not None:
                raise RuntimeError(f"The local servers ended at once:\n{self.log()}")
            if time.monotonic() > until:
                raise TimeoutError(f"The local servers did not answer within {seconds:g} s:\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as when a machine is lost. `start` begins anew, with nothing in it."""
        process = self._running()
        process.kill()
        process.wait()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections are accepted and never answered. `resume` ends it."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def reset(self) -> None:
        """Empties every dataset and every bucket, and forgets all jobs."""
        urlopen(Request(f"{self.bigquery_url}/reset", method="POST"), timeout=30).close()

    def log(self) -> str:
        """What the servers had to say: tracebacks of what they do not know, for the most part."""
        return self._log.read_text()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("The local servers are not running. Call start().")
        return self._process

    def _healthy(self) -> bool:
        try:
            urlopen(f"{self.bigquery_url}/healthz", timeout=1).close()
        except (URLError, OSError):
            return False
        return True


def _free_ports(first: int) -> tuple[int, int, int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(3)]
        for number, holder in enumerate(held):
            holder.bind(("127.0.0.1", first if number == 0 else 0))
        ports = [holder.getsockname()[1] for holder in held]
    return ports[0], ports[1], ports[2]
