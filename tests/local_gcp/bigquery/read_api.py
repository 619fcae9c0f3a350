"""The Storage Read API: a snapshot of some columns and rows of a table, in Arrow, over several streams.

https://cloud.google.com/bigquery/docs/reference/storage. Other methods of the service answer UNIMPLEMENTED.
"""

import sys
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

from tests.local_gcp.bigquery.engine import Engine
from tests.local_gcp.bigquery.errors import as_bigquery_error, missing_here
from tests.local_gcp.bigquery.jobs import ANONYMOUS, Jobs
from tests.local_gcp.bigquery.names import TableId

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
MAX_STREAMS = 8
ROWS_PER_MESSAGE = 16_384
KEPT_STREAMS = 200

STATUS = {400: grpc.StatusCode.INVALID_ARGUMENT, 404: grpc.StatusCode.NOT_FOUND, 501: grpc.StatusCode.UNIMPLEMENTED}


class ReadApi:
    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._engine = engine
        self._jobs = jobs
        self._streams: OrderedDict[str, pa.Table] = OrderedDict()

    def create_read_session(self, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return self._session(request)
        except Exception as error:  # noqa: BLE001 - the edge: every failure is an answer
            known = as_bigquery_error(error)
            if known.code == 501:
                traceback.print_exc(file=sys.stderr)
            return context.abort(STATUS.get(known.code, grpc.StatusCode.INVALID_ARGUMENT), str(known))

    def _session(self, request: Any) -> Any:
        asked = request.read_session
        if asked.data_format != types.DataFormat.ARROW:
            raise missing_here("read sessions in anything but Arrow")
        rows = self._snapshot(asked)
        _, project, *_ = asked.table.split("/")
        name = f"projects/{project}/locations/us/sessions/{uuid.uuid4().hex}"
        session = types.ReadSession(
            name=name, table=asked.table, data_format=types.DataFormat.ARROW, estimated_row_count=rows.num_rows
        )
        session.arrow_schema.serialized_schema = rows.schema.serialize().to_pybytes()
        for number, part in enumerate(_parts(rows, request.max_stream_count)):
            stream = f"{name}/streams/{number}"
            self._streams[stream] = part
            session.streams.append(types.ReadStream(name=stream))
        while len(self._streams) > KEPT_STREAMS:
            self._streams.popitem(last=False)
        return session

    def _snapshot(self, asked: Any) -> pa.Table:
        _, project, _, dataset, _, name = asked.table.split("/")
        table, options = TableId(project, dataset, name), asked.read_options
        if options.sample_percentage:
            raise missing_here("sample_percentage")
        columns = list(options.selected_fields)
        if nested := [column for column in columns if "." in column]:
            raise missing_here(f"selecting parts of a record: {nested}")
        if dataset == ANONYMOUS:
            if options.row_restriction:
                raise missing_here("row restrictions on the result of a query")
            rows = self._jobs.result(name).table
            return rows.select(columns) if columns else rows
        return self._engine.read(table, columns=columns or None, restriction=options.row_restriction)[0]

    def read_rows(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        if request.read_stream not in self._streams:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {request.read_stream}")
        part = self._streams[request.read_stream].slice(request.offset)
        schema = types.ArrowSchema(serialized_schema=part.schema.serialize().to_pybytes())
        for batch in part.to_batches(max_chunksize=ROWS_PER_MESSAGE):
            content = types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
            yield types.ReadRowsResponse(arrow_schema=schema, arrow_record_batch=content, row_count=batch.num_rows)


def _parts(rows: pa.Table, max_streams: int) -> list[pa.Table]:
    """No stream for no rows, and none that is empty."""
    streams = min(max_streams or 1, MAX_STREAMS, rows.num_rows)
    if not streams:
        return []
    size = -(-rows.num_rows // streams)
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def start_grpc(api: ReadApi, port: int) -> tuple[grpc.Server, int]:
    """The running server and its port."""
    handlers = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(
            api.create_read_session, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        ),
        "ReadRows": grpc.unary_stream_rpc_method_handler(
            api.read_rows, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
        ),
    }
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, bound
