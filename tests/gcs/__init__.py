"""A Cloud Storage server of one's own to hold up, kill, restart and look into."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
BUCKET = "shop"


@dataclass
class GcsServer:
    """One process on one port. It keeps all in memory: after a kill it is empty."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def at(cls, folder: Path) -> "GcsServer":
        folder.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return cls(folder, free.getsockname()[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        return f"gs://{BUCKET}"

    def start(self) -> None:
        with (self.folder / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.gcs.server", str(self.folder), str(self.port)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self.is_up():
            assert self.process.poll() is None, (self.folder / "stderr.log").read_text()
            assert time.monotonic() < deadline, "the storage server did not start"
            time.sleep(0.02)

    def is_up(self) -> bool:
        try:
            return bool(urlopen(f"{self.address}/", timeout=2).status == 200)
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def pause(self) -> None:
        """It accepts connections and answers none."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def flip_a_bit_of(self, name: str) -> None:
        """From now on this object is not what was put here."""
        (self.folder / "flip").write_text(name)

    def stored(self) -> Counter[str]:
        """How often each object was sent here."""
        log = self.folder / "stored.log"
        return Counter(log.read_text().splitlines() if log.exists() else [])

    def hold(self) -> None:
        """Store nothing until `let_go`."""
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    def keep_silent_once(self) -> None:
        """Store the next object and break the connection off instead of saying so."""
        (self.folder / "mute").touch()

    def drop_next_chunk(self) -> None:
        (self.folder / "drop").touch()
