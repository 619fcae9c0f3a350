"""Real servers for tests: a Redis and a PostgreSQL of their own, started in a temporary folder, stopped at the end."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest
import redis

SECONDS_TO_START = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server process that can be frozen, killed and started again on the same port and data."""

    url: str
    _command: list[str]
    _is_up: Callable[[str], None]
    _log: Path
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                self._is_up(self.url)
                return
            except (redis.RedisError, psycopg.Error):
                assert self._process.poll() is None, self._log.read_text()[-2000:]
                assert time.monotonic() < deadline, self._log.read_text()[-2000:]
                time.sleep(0.05)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self.kill()

    def _send(self, number: int) -> None:
        """To the server and its children: PostgreSQL answers by one for each connection, in sessions of their own."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            for process in [server, *server.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with running(
        Server(f"redis://127.0.0.1:{port}/0", [program, *options], _redis_is_up, folder / "redis.log")
    ) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Not in pytest's folders: each session that starts closes those to everybody but its own user.
    with TemporaryDirectory(prefix="aisle-postgresql-") as name:
        folder, port = Path(name), free_port()
        as_owner = _as_somebody_else_than_root(folder)
        data = folder / "data"
        subprocess.run(
            [*as_owner, initdb, "-D", str(data), "-U", "aisle", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        options = [
            "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}",
            "-c", "max_connections=30",
        ]  # fmt: skip
        server = Server(
            f"postgresql://aisle@127.0.0.1:{port}/postgres",
            [*as_owner, str(Path(initdb).resolve().with_name("postgres")), *options],
            _postgresql_is_up,
            folder / "server.log",
        )
        with running(server):
            yield server


@pytest.fixture
def postgresql_url(postgresql_server: Server) -> str:
    """An empty database."""
    with psycopg.connect(postgresql_server.url, autocommit=True) as connection:
        connection.execute("drop schema public cascade")
        connection.execute("create schema public")
    return postgresql_server.url


def _as_somebody_else_than_root(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root, as continuous integration often does."""
    if os.geteuid() != 0:
        return []
    owner = pwd.getpwnam("nobody")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]


def _redis_is_up(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()


def _postgresql_is_up(url: str) -> None:
    psycopg.connect(url, connect_timeout=2).close()
