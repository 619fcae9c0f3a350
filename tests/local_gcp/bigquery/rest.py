"""BigQuery's REST interface. https://cloud.google.com/bigquery/docs/reference/rest. An unknown route is a 501."""

import json
import re
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.local_gcp.bigquery.catalog import Resource
from tests.local_gcp.bigquery.engine import Engine
from tests.local_gcp.bigquery.errors import as_bigquery_error, invalid, missing_here, not_found
from tests.local_gcp.bigquery.jobs import ANONYMOUS, Job, Jobs
from tests.local_gcp.bigquery.names import TableId
from tests.local_gcp.bigquery.script import Outcome
from tests.local_gcp.bigquery.types import json_rows

MAX_ROWS_PER_PAGE = 50_000
LISTED = ("kind", "id", "tableReference", "type", "labels", "timePartitioning", "rangePartitioning", "clustering",
          "creationTime", "friendlyName", "view")  # fmt: skip

Parameters = dict[str, str]


@dataclass
class Upload:
    """A resumable upload: the job it is for, and what has come of its file."""

    project: str
    body: Resource
    content: bytearray = field(default_factory=bytearray)


class Api:
    """The routes below /bigquery/v2/projects/{project}/."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.jobs = Jobs(engine)
        self.uploads: dict[str, Upload] = {}

    def answer(self, method: str, path: list[str], parameters: Parameters, body: Resource) -> Resource | None:
        project, *rest = path
        match (method, *rest):
            case (_, "datasets", *inside):
                with self.engine.lock:
                    return self._datasets(method, project, inside, parameters, body)
            case ("POST", "queries"):
                return self._query(project, body)
            case ("GET", "queries", job_id):
                return self._query_results(self.jobs.get(job_id), parameters)
            case ("POST", "jobs"):
                return self.jobs.insert(project, body).resource
            case ("GET", "jobs"):
                return {"kind": "bigquery#jobList", "jobs": self.jobs.all(project)}
            case ("GET", "jobs", job_id):
                return self.jobs.get(job_id).resource
            case ("POST", "jobs", job_id, "cancel"):
                return {"kind": "bigquery#jobCancelResponse", "job": self.jobs.get(job_id).resource}
        raise missing_here(f"the route {method} {'/'.join(path)}")

    def _datasets(
        self, method: str, project: str, path: list[str], parameters: Parameters, body: Resource
    ) -> Resource | None:
        catalog = self.engine.catalog
        match (method, *path):
            case (_, dataset, "tables", *inside):
                return self._tables(method, project, dataset, inside, parameters, body)
            case ("GET",):
                found = [resource for (owner, _), resource in catalog.datasets.items() if owner == project]
                return {"kind": "bigquery#datasetList", "datasets": found}
            case ("POST",):
                return catalog.create_dataset(project, body["datasetReference"]["datasetId"], body)
            case ("GET", dataset):
                return catalog.dataset(project, dataset)
            case ("PATCH" | "PUT", dataset):
                return catalog.update_dataset(project, dataset, body)
            case ("DELETE", dataset):
                contents = parameters.get("deleteContents", "").lower() == "true"
                return catalog.drop_dataset(project, dataset, contents=contents)
            case ("GET", dataset, "routines" | "models"):
                catalog.dataset(project, dataset)
                return {}
        raise missing_here(f"the route {method} datasets/{'/'.join(path)}")

    def _tables(
        self, method: str, project: str, dataset: str, path: list[str], parameters: Parameters, body: Resource
    ) -> Resource | None:
        catalog = self.engine.catalog
        match (method, *path):
            case ("GET",):
                catalog.dataset(project, dataset)
                found = [catalog.tables[table] for table in catalog.tables if table[:2] == (project, dataset)]
                listed = [{key: table[key] for key in LISTED if key in table} for table in found]
                return {"kind": "bigquery#tableList", "tables": listed, "totalItems": len(listed)}
            case ("POST",):
                table = TableId.of(body["tableReference"])
                return self.engine.create_view(table, body) if "view" in body else catalog.create_table(table, body)
            case ("GET", name) if dataset == ANONYMOUS:
                return self._anonymous_table(TableId(project, dataset, name))
            case ("GET", name):
                return catalog.table(TableId(project, dataset, name.split("$")[0]))
            case ("PATCH" | "PUT", name):
                return catalog.update_table(TableId(project, dataset, name), body)
            case ("DELETE", name):
                return self.engine.delete(TableId(project, dataset, name.split("$")[0]), name.partition("$")[2])
            case ("GET", name, "data") if dataset == ANONYMOUS:
                return self._page(self.jobs.result(name), parameters)
            case ("GET", name, "data"):
                return self._table_data(TableId(project, dataset, name), parameters)
            case ("POST", name, "insertAll"):
                return self._insert_all(TableId(project, dataset, name), body)
        raise missing_here(f"the route {method} tables/{'/'.join(path)}")

    # -- queries and their rows ----------------------------------------------------------------------------------------

    def _query(self, project: str, body: Resource) -> Resource:
        settings = ("query", "defaultDataset", "queryParameters", "parameterMode", "useLegacySql", "createSession")
        config = {"query": {key: body[key] for key in settings if key in body}, "dryRun": body.get("dryRun", False)}
        reference = {"location": body["location"]} if body.get("location") else {}
        job = self.jobs.insert(project, {"configuration": config, "jobReference": reference})
        if body.get("dryRun"):
            statistics = job.resource["statistics"]
            return {"jobComplete": True, "jobReference": job.resource["jobReference"],
                    "schema": statistics["query"]["schema"],
                    "totalBytesProcessed": statistics["totalBytesProcessed"]}  # fmt: skip
        options = {"formatOptions.useInt64Timestamp": body.get("formatOptions", {}).get("useInt64Timestamp", "")}
        limit = {"maxResults": body["maxResults"]} if body.get("maxResults") else {}
        return self._query_results(job, {**options, **limit})

    def _query_results(self, job: Job, parameters: Parameters) -> Resource:
        outcome = self.jobs.result(job.resource["jobReference"]["jobId"])
        statistics = job.resource["statistics"].get("query", {})
        counted = {key: statistics[key] for key in ("numDmlAffectedRows", "dmlStats") if key in statistics}
        return {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": job.resource["jobReference"],
            "jobComplete": True,
            "schema": {"fields": outcome.fields},
            "totalBytesProcessed": "0",
            "cacheHit": False,
            **counted,
            **self._page(outcome, parameters),
        }

    def _page(self, outcome: Outcome, parameters: Parameters) -> Resource:
        start = int(parameters.get("pageToken") or parameters.get("startIndex") or 0)
        asked = parameters.get("maxResults")
        size = MAX_ROWS_PER_PAGE if asked is None else min(int(asked), MAX_ROWS_PER_PAGE)
        integers = str(parameters.get("formatOptions.useInt64Timestamp", "")).lower() == "true"
        rows = json_rows(outcome.table.slice(start, size), outcome.fields, integer_timestamps=integers)
        more = {"pageToken": str(start + size)} if start + size < outcome.table.num_rows else {}
        return {"totalRows": str(outcome.table.num_rows), "rows": rows, **more}

    def _anonymous_table(self, table: TableId) -> Resource:
        outcome = self.jobs.result(table.name)
        return {
            "kind": "bigquery#table",
            "type": "TABLE",
            "tableReference": table.reference,
            "schema": {"fields": outcome.fields},
            "numRows": str(outcome.table.num_rows),
            "numBytes": str(outcome.table.nbytes),
        }

    def _table_data(self, table: TableId, parameters: Parameters) -> Resource:
        name, _, partition = table.name.partition("$")
        selected = parameters.get("selectedFields")
        rows, fields = self.engine.read(
            table._replace(name=name), columns=selected.split(",") if selected else None, partition=partition
        )
        return {"kind": "bigquery#tableDataList", **self._page(Outcome("SELECT", rows, fields), parameters)}

    def _insert_all(self, table: TableId, body: Resource) -> Resource:
        """Streamed rows are there at once, and `insertId` is not looked at."""
        if body.get("templateSuffix"):
            raise missing_here("template tables")
        lines = "\n".join(json.dumps(row["json"]) for row in body["rows"])
        schema = {"fields": self.engine.catalog.fields(table)}
        config = {"destinationTable": table.reference, "sourceFormat": "NEWLINE_DELIMITED_JSON", "schema": schema}
        self.engine.load(config, lines.encode())
        return {"kind": "bigquery#tableDataInsertAllResponse"}

    # -- uploads -------------------------------------------------------------------------------------------------------

    def multipart(self, project: str, content_type: str, raw: bytes) -> Resource:
        """The job as JSON and its file, in one request."""
        body, file = _parts(content_type, raw)
        return self.jobs.insert(project, json.loads(body), file).resource

    def start_upload(self, project: str, body: Resource) -> str:
        upload_id = uuid.uuid4().hex
        self.uploads[upload_id] = Upload(project, body)
        return upload_id

    def add(self, upload_id: str, content_range: str, raw: bytes) -> Resource | int:
        """The finished job's resource; before that, how many bytes have come."""
        if upload_id not in self.uploads:
            raise not_found(f"Upload {upload_id}")
        upload = self.uploads[upload_id]
        said = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", content_range) if content_range else None
        if content_range and not said:
            raise invalid(f"Content-Range: {content_range}")
        if said and said[1] is not None:
            del upload.content[int(said[1]) :]
        upload.content += raw
        if said and (said[2] == "*" or len(upload.content) < int(said[2])):
            return len(upload.content)
        del self.uploads[upload_id]
        return self.jobs.insert(upload.project, upload.body, bytes(upload.content)).resource


def _parts(content_type: str, raw: bytes) -> tuple[bytes, bytes]:
    """The two parts as they were sent; the email parser of the standard library is not made for binary ones."""
    boundary = re.search(r"boundary=\"?([^\";]+)", content_type)
    if not boundary:
        raise invalid(f"A multipart upload needs a boundary. Received: {content_type}")
    pieces = (b"\r\n" + raw).split(b"\r\n--" + boundary[1].encode().strip(b"'"))
    body, file = (piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1])
    return body, file


# -- HTTP --------------------------------------------------------------------------------------------------------------

Handler = Callable[[Request], Awaitable[Response]]


def _with_errors(handler: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - the edge: every failure is an answer
            known = as_bigquery_error(error)
            if known.code == 501:
                traceback.print_exc(file=sys.stderr)
            return JSONResponse(known.body(), known.code)

    return handle


def application(engine: Engine, reset: Callable[[], None]) -> tuple[Api, Starlette]:
    """The BigQuery server; `reset` is what POST /reset does beside emptying BigQuery."""
    api = Api(engine)

    async def call(request: Request) -> Response:
        raw = await request.body()
        path = [part for part in request.path_params["rest"].split("/") if part]
        body = json.loads(raw) if raw else {}
        answer = await run_in_threadpool(api.answer, request.method, path, dict(request.query_params), body)
        return Response(status_code=204) if answer is None else JSONResponse(answer)

    async def upload(request: Request) -> Response:
        raw, project = await request.body(), request.path_params["project"]
        if request.query_params.get("uploadType") == "multipart":
            return JSONResponse(await run_in_threadpool(api.multipart, project, request.headers["content-type"], raw))
        if "upload_id" not in request.query_params:
            upload_id = api.start_upload(project, json.loads(raw))
            return Response(headers={"Location": f"{request.url}&upload_id={upload_id}"})
        content_range = request.headers.get("content-range", "")
        done = await run_in_threadpool(api.add, request.query_params["upload_id"], content_range, raw)
        if isinstance(done, int):
            return Response(status_code=308, headers={"Range": f"bytes=0-{done - 1}"} if done else {})
        return JSONResponse(done)

    async def token(_: Request) -> Response:
        """Where the throw-away service account gets its access token."""
        return JSONResponse({"access_token": "local", "token_type": "Bearer", "expires_in": 3600})

    async def healthz(_: Request) -> Response:
        return JSONResponse({"ok": True})

    async def empty(_: Request) -> Response:
        with engine.lock:
            engine.catalog.clear()
            api.jobs.clear()
            reset()
        return Response(status_code=204)

    async def unknown(request: Request) -> Response:
        raise missing_here(f"the route {request.method} {request.url.path}")

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    routes = [
        ("/healthz", healthz, ["GET"]),
        ("/token", token, ["POST"]),
        ("/reset", empty, ["POST"]),
        ("/upload/bigquery/v2/projects/{project}/jobs", upload, ["POST", "PUT"]),
        ("/bigquery/v2/projects/{rest:path}", call, methods),
        ("/{path:path}", unknown, methods),
    ]
    handled = [Route(path, _with_errors(handler), methods=allowed) for path, handler, allowed in routes]
    return api, Starlette(routes=handled)
