"""Cloud Storage: the fake from PyPI, with threads, and with the generations and preconditions that it ignores.

https://cloud.google.com/storage/docs/request-preconditions. Objects live in memory. A request is read, then answered under
one lock, then its answer is sent: a precondition and the write it guards are one step, and a slow client holds up nobody.
"""

import io
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gcp_storage_emulator import server as fake
from gcp_storage_emulator.exceptions import BadRequest, NotFound
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.storage import Storage

Query = Mapping[str, str]
Resource = dict[str, Any]

CONDITIONS = ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch")


REASONS = {404: "notFound", 412: "conditionNotMet", 501: "notImplemented"}


class Refused(Exception):  # noqa: N818 - not a defect: an answer
    """A precondition does not hold (412, or 304 for a read), the generation is gone (404), or we lack something (501)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def body(self) -> Resource | None:
        if self.status == 304:
            return None
        detail = {"message": str(self), "domain": "global", "reason": REASONS[self.status]}
        return {"error": {"code": self.status, "message": str(self), "errors": [detail]}}


def check(conditions: Query, found: Resource | None, *, reading: bool = False, prefix: str = "if") -> None:
    """Raises Refused unless the object as it is (None: there is none) is what the request expects."""
    for condition in CONDITIONS:
        name = condition.replace("if", prefix, 1)
        if name not in conditions:
            continue
        kind = "metageneration" if "Meta" in condition else "generation"
        actual = int(found[kind]) if found else 0
        negated = condition.endswith("NotMatch")
        if (actual == int(conditions[name])) == negated:
            raise Refused(
                304 if negated and reading else 412,
                f"At least one of the pre-conditions you specified did not hold: {name}={conditions[name]}, it is {actual}.",
            )


class Objects(Storage):
    """Objects with generations; also what BigQuery's jobs read and write."""

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        self.lock = threading.RLock()
        self.url = ""
        self._last_generation = 0
        self._upload_conditions: dict[str, Query] = {}
        self.uploaded: dict[str, Resource] = {}
        """What finished resumable uploads have made: a client that missed the answer asks again."""

    def _write_config_to_file(self) -> None:
        """Nothing outlives the process; rewriting an index of all objects at every write is what made the fake slow."""

    def live(self, bucket: str, name: str) -> Resource | None:
        return self.objects.get(bucket, {}).get(name)

    def create_file(
        self, bucket_name: str, file_name: str, content: bytes, file_obj: Resource, file_id: str | None = None
    ) -> None:
        if file_id:
            check(self._upload_conditions.pop(file_id, {}), self.live(bucket_name, file_name))
        self._last_generation = generation = max(time.time_ns() // 1000, self._last_generation + 1)
        file_obj |= {
            "generation": str(generation),
            "metageneration": "1",
            "size": str(len(content)),
            "id": f"{bucket_name}/{file_name}/{generation}",
            "etag": f"{generation}/1",
            "mediaLink": re.sub(r"generation=\d+", f"generation={generation}", file_obj.get("mediaLink", "")),
        }
        super().create_file(bucket_name, file_name, content, file_obj, file_id)
        if file_id:
            self.uploaded[file_id] = dict(file_obj)

    def patch_object(self, bucket_name: str, file_name: str, file_obj: Resource) -> None:
        file_obj["etag"] = f"{file_obj['generation']}/{file_obj['metageneration']}"
        super().patch_object(bucket_name, file_name, file_obj)

    def begin_upload(self, upload_id: str, conditions: Query) -> None:
        """A resumable upload keeps its conditions until it ends, which may be much later."""
        self._upload_conditions[upload_id] = conditions

    def add_to_resumable_upload(
        self, file_id: str, content: bytes, total_size: int | None = None, expected_start: int | None = None
    ) -> bytes | None:
        """Bytes that have come before are passed over; a gap is an error."""
        received = self.get_resumable_byte_count(file_id)
        if expected_start is not None and expected_start > received:
            raise BadRequest(f"Invalid Content-Range start: expected {received}, got {expected_start}")
        again = received - expected_start if expected_start is not None else 0
        return super().add_to_resumable_upload(file_id, content[again:], total_size, None)

    # -- for jobs ------------------------------------------------------------------------------------------------------

    def names(self, bucket: str, prefix: str) -> list[str]:
        with self.lock:
            return sorted(name for name in self.objects.get(bucket, {}) if name.startswith(prefix))

    def read(self, bucket: str, name: str) -> bytes:
        with self.lock:
            return self.get_file(bucket, name)

    def write(self, bucket: str, name: str, content: bytes) -> None:
        with self.lock:
            resource = objects._make_object_resource(
                self.url, bucket, name, "application/octet-stream", str(len(content))
            )
            try:
                self.create_file(bucket, name, content, objects._checksums(content, resource))
            except NotFound:
                raise FileNotFoundError(f"Bucket {bucket}") from None


OBJECT = r"^(?:/storage/v1|/download/storage/v1)?/b/(?P<bucket>[^/]+)/o/(?P<name>.+?)"
PLACE = re.compile(OBJECT + r"$")
COPY = re.compile(OBJECT + r"/(?:copyTo|rewriteTo)/b/(?P<to_bucket>[^/]+)/o/(?P<to_name>.+)$")
COMPOSE = re.compile(OBJECT + r"/compose$")
UPLOAD = re.compile(r"^/upload/storage/v1/b/(?P<bucket>[^/]+)/o$")


class Handler(fake.RequestHandler):
    """One request."""

    storage: Objects

    def answer(self) -> None:
        if not self._take_body():
            return
        out, self.wfile = self.wfile, io.BytesIO()
        try:
            with self.storage.lock:
                self._guarded(self.command)
        finally:
            answer, self.wfile = self.wfile.getvalue(), out
        self.wfile.write(answer)

    def _take_body(self) -> bool:
        """Reads all of it. Of a broken connection only the chunk of a resumable upload is worth keeping."""
        raw = fake._read_raw_data(self) or b""
        broken = len(raw) < int(self.headers.get("Content-Length") or 0)
        if broken and "Content-Range" not in self.headers:
            return False
        del self.headers["Transfer-Encoding"]
        del self.headers["Content-Length"]
        self.headers["Content-Length"] = str(len(raw))
        self.rfile = io.BytesIO(raw)
        self._raw = raw
        return True

    def _guarded(self, method: str) -> None:
        self._extra_headers: dict[str, str] = {}
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        try:
            if done := self.storage.uploaded.get(query.get("upload_id", "")):
                self._send(200, done)
                return
            self._check(self.headers.get("x-http-method-override") or method, address.path, query)
            fake.Router(self).handle(method)
        except Refused as refusal:
            self._send(refusal.status, refusal.body())
        except Exception as error:  # noqa: BLE001 - a connection that is dropped instead would be tried again for minutes
            traceback.print_exc(file=sys.stderr)
            self._send(501, Refused(501, f"{type(error).__name__}: {error}").body())

    def _send(self, status: int, body: Resource | None) -> None:
        response = fake.Response(self)
        response.status = fake.HTTPStatus(status)
        if body is not None:
            response.json(body)
        response.close()

    def _check(self, method: str, path: str, query: Query) -> None:
        if path == "/batch/storage/v1" and b"Match=" in self._raw:
            raise Refused(501, "The local Cloud Storage checks no preconditions inside a batch")
        if match := COPY.match(path):
            self._check_copy(match, query)
        elif match := COMPOSE.match(path):
            self._check_compose(match, query)
        elif match := UPLOAD.match(path):
            self._check_upload(match, query)
        elif (match := PLACE.match(path)) and method in ("GET", "PATCH", "DELETE"):
            self._check_one(match, query, reading=method == "GET")

    def _live(self, bucket: str, name: str) -> Resource | None:
        return self.storage.live(unquote(bucket), unquote(name))

    def _check_one(self, match: re.Match[str], query: Query, *, reading: bool) -> None:
        found = self._live(match["bucket"], match["name"])
        if found is None:
            return  # the fake answers 404
        if query.get("generation", found["generation"]) != found["generation"]:
            raise Refused(404, f"No such object: generation {query['generation']}")
        check(query, found, reading=reading)
        if reading:
            self._extra_headers = {
                "X-Goog-Generation": found["generation"],
                "X-Goog-Metageneration": found["metageneration"],
            }

    def _check_copy(self, match: re.Match[str], query: Query) -> None:
        check(query, self._live(match["to_bucket"], match["to_name"]))
        source = self._live(match["bucket"], match["name"])
        if source is None:
            return
        if query.get("sourceGeneration", source["generation"]) != source["generation"]:
            raise Refused(404, f"No such object: generation {query['sourceGeneration']}")
        check(query, source, prefix="ifSource")

    def _check_compose(self, match: re.Match[str], query: Query) -> None:
        check(query, self._live(match["bucket"], match["name"]))
        for source in fake.json.loads(self._raw)["sourceObjects"]:
            found = self.storage.live(unquote(match["bucket"]), source["name"])
            if found:
                check(source.get("objectPreconditions", {}), found)

    def _check_upload(self, match: re.Match[str], query: Query) -> None:
        if "upload_id" in query or not set(CONDITIONS) & query.keys():
            return
        check(query, self._live(match["bucket"], self._uploaded_name(query)))

    def _uploaded_name(self, query: Query) -> str:
        if "name" in query:
            return query["name"]
        request = fake.Request(self, "POST")
        body = request.data
        self.rfile = io.BytesIO(self._raw)
        return (body or {}).get("meta", body or {})["name"]

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Location" and "upload_id=" in value:
            self._note_upload(value)
        if keyword == "Range" and value == "bytes=0-0" and not self._received():
            return  # nothing has come yet: the fake would say that one byte has
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        for name, value in self._extra_headers.items():
            super().send_header(name, value)
        super().end_headers()

    def _note_upload(self, location: str) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        asked = {name: value for name, value in query.items() if name in CONDITIONS}
        self.storage.begin_upload(query["upload_id"], asked)

    def _received(self) -> int:
        return self.storage.get_resumable_byte_count(parse_qs(urlsplit(self.path).query)["upload_id"][0])


for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.answer)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def start_storage(port: int, bucket: str) -> tuple[Server, Objects]:
    """The running server (its port is `server.server_port`) with one bucket, and its objects."""
    storage = Objects()
    buckets.create_bucket(bucket, storage)
    server = Server(("127.0.0.1", port), partial(Handler, storage))
    storage.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, storage
