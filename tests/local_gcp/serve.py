"""The child process: the three servers, until it is ended or its parent is gone."""

import os
import socket
import sys
import threading
import time

import uvicorn

from tests.local_gcp.bigquery.engine import Engine
from tests.local_gcp.bigquery.read_api import ReadApi, start_grpc
from tests.local_gcp.bigquery.rest import application
from tests.local_gcp.storage import start_storage


def serve(listening: socket.socket, *, grpc_port: int, storage_port: int, bucket: str) -> None:
    """Runs until SIGTERM. The REST server takes the socket that is listening already."""
    storage, objects = start_storage(storage_port, bucket)

    def empty_bucket() -> None:
        with objects.lock:
            objects.wipe(keep_buckets=True)

    engine = Engine(objects)
    api, app = application(engine, empty_bucket)
    grpc_server, _ = start_grpc(ReadApi(engine, api.jobs), grpc_port)
    config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=600, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])
    grpc_server.stop(None)
    storage.shutdown()


def end_with_parent() -> None:
    """A test run that was killed leaves no servers behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> None:
    port, grpc_port, storage_port = (int(number) for number in arguments[:3])
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    end_with_parent()
    serve(listening, grpc_port=grpc_port, storage_port=storage_port, bucket=arguments[3])


if __name__ == "__main__":
    main(sys.argv[1:])
