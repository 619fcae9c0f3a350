"""A Cloud Storage server as a process of its own, so that a test can stop, kill and restart it, or make it slow, broken or dishonest.

Files in its folder steer it. `hold`: store nothing while this is there. `drop`: break off the next chunk of an upload. `flip`: one
bit of the object that it names is wrong from then on. `mute`: keep silent about the next object that was stored. `stored.log` lists every object that was sent here.
"""

import os
import sys
import time
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

from gcp_storage_emulator.handlers import buckets

from tests.gcs import BUCKET
from tests.local_gcp.storage import Handler, Objects, Server


class SteeredObjects(Objects):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def create_file(self, bucket_name: str, file_name: str, *content: Any) -> None:
        while (self.folder / "hold").exists():
            time.sleep(0.01)
        super().create_file(bucket_name, file_name, *content)
        with (self.folder / "stored.log").open("a") as log:
            log.write(f"{file_name}\n")

    def get_file(self, bucket_name: str, file_name: str, *show_error: Any, **options: Any) -> bytes:
        content: bytes = super().get_file(bucket_name, file_name, *show_error, **options)
        flip = self.folder / "flip"
        if flip.exists() and flip.read_text() == file_name:
            return content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]
        return content


class SteeredHandler(Handler):
    def do_POST(self) -> None:  # noqa: N802 - the name http.server asks for
        mute = self.storage.folder / "mute"
        if not mute.exists():
            self.answer()
            return
        mute.unlink()
        answer, self.wfile = self.wfile, BytesIO()
        self.answer()
        self.wfile = answer
        self.close_connection = True

    def do_PUT(self) -> None:  # noqa: N802 - the name http.server asks for
        drop = self.storage.folder / "drop"
        if drop.exists():
            drop.unlink()
            self.rfile.read(1000)
            self.close_connection = True
            self.connection.close()
        else:
            self.answer()


def end_with_parent() -> None:
    """Whoever started this holds the other end of its input."""
    sys.stdin.read()
    os._exit(0)


def main(folder: Path, port: int) -> None:
    Thread(target=end_with_parent, daemon=True).start()
    storage = SteeredObjects(folder)
    buckets.create_bucket(BUCKET, storage)
    Server(("127.0.0.1", port), partial(SteeredHandler, storage)).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
