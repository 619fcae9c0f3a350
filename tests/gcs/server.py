"""A Cloud Storage server as a process of its own, so that a test can stop, kill and restart it, or make it slow or broken.

Runs `gcp-storage-emulator` with a thread per connection, and adds what it lacks: `ifGenerationMatch`. What it stores stays in
its folder. Two files in that folder steer it: `hold` makes it wait before it stores anything, `drop` makes it break off the next
chunk of an upload; `stored.log` names every object it was sent.
"""

import sys
import time
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import RLock, local
from typing import Any
from urllib.parse import parse_qs, urlparse

from gcp_storage_emulator.handlers import buckets
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

BUCKET = "shop"
asked = local()


class RefusedError(Exception):
    """The precondition of a request does not hold."""


class CarefulStorage(Storage):
    def __init__(self, folder: Path) -> None:
        super().__init__(data_dir=str(folder))
        self.folder, self.lock = folder, RLock()

    def create_file(self, bucket_name: str, file_name: str, content: Any, file_obj: Any, *upload: Any) -> None:
        while (self.folder / "hold").exists():
            time.sleep(0.01)
        with self.lock:
            self.check(bucket_name, file_name)
            super().create_file(bucket_name, file_name, content, file_obj, *upload)
            with (self.folder / "stored.log").open("a") as log:
                log.write(f"{file_name}\n")

    def delete_file(self, *args: Any) -> None:
        with self.lock:
            super().delete_file(*args)

    def check(self, bucket_name: str, file_name: str) -> None:
        if asked.generation is not None:
            found = self.objects.get(bucket_name, {}).get(file_name, {}).get("generation", "0")
            if found != asked.generation:
                raise RefusedError(f"generation is {found}")


class Handler(RequestHandler):
    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        asked.generation = parse_qs(urlparse(self.path).query).get("ifGenerationMatch", [None])[0]
        try:
            super().do_POST()
        except RefusedError as error:
            self.send_response(412)
            self.send_header("Content-Length", str(len(str(error))))
            self.end_headers()
            self.wfile.write(str(error).encode())

    def do_PUT(self) -> None:  # noqa: N802 - http.server's name
        asked.generation = None
        drop = self.storage.folder / "drop"
        if drop.exists():
            drop.unlink()
            self.rfile.read(1000)
            self.close_connection = True
            self.connection.close()
            return
        super().do_PUT()


def main(folder: Path, port: int) -> None:
    storage = CarefulStorage(folder)
    if not storage.get_bucket(BUCKET):
        buckets.create_bucket(BUCKET, storage)
    ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, storage)).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
