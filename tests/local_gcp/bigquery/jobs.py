"""Jobs as resources. https://cloud.google.com/bigquery/docs/reference/rest/v2/Job

A job is done when its insertion answers; the outcome of a query is kept for the pages that are asked for afterwards.
"""

import sys
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from tests.local_gcp.bigquery.catalog import Resource, now_ms
from tests.local_gcp.bigquery.engine import Engine
from tests.local_gcp.bigquery.errors import BigQueryError, already_exists, as_bigquery_error, missing_here, not_found
from tests.local_gcp.bigquery.names import TableId
from tests.local_gcp.bigquery.script import Outcome

ANONYMOUS = "_anonymous"
"""The dataset of results that were given no destination; such a table is named as its job."""

KEPT = 300
"""Jobs that can still be asked about: enough for one test, and a session of thousands of queries keeps its memory."""

KINDS = {"query": "QUERY", "load": "LOAD", "copy": "COPY", "extract": "EXTRACT"}


@dataclass
class Job:
    resource: Resource
    outcome: Outcome | None = None
    error: BigQueryError | None = None


class Jobs:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def clear(self) -> None:
        self._jobs.clear()

    def get(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise not_found(f"Job {job_id}")
        return self._jobs[job_id]

    def all(self, project: str) -> list[Resource]:
        jobs = reversed(self._jobs.values())
        return [job.resource for job in jobs if job.resource["jobReference"]["projectId"] == project]

    def result(self, job_id: str) -> Outcome:
        """What the query gave. The error of a failed job is raised, as jobs.getQueryResults does."""
        job = self.get(job_id)
        if job.error:
            raise job.error
        return job.outcome or Outcome("SCRIPT")

    def insert(self, project: str, body: Resource, payload: bytes | None = None) -> Job:
        """Run the job to its end. A failed job is a job, not an error; a failed dry run is an error."""
        config = body["configuration"]
        kind = next((name for name in KINDS if name in config), None)
        if kind is None:
            raise missing_here(f"jobs of {sorted(config)}")
        job = self._new(project, body, kind)
        if config.get("dryRun"):
            self._dry_run(job, project)
            return job
        with self._engine.lock:
            if job.resource["jobReference"]["jobId"] in self._jobs:
                raise already_exists(f"Job {job.resource['id']}")
            self._remember(job)
            self._run(job, RUNNERS[kind], project, payload)
        return job

    def _new(self, project: str, body: Resource, kind: str) -> Job:
        reference = {"projectId": project, "location": "US", **body.get("jobReference", {})}
        reference.setdefault("jobId", uuid.uuid4().hex)
        return Job(
            {
                "kind": "bigquery#job",
                "id": f"{project}:{reference['location']}.{reference['jobId']}",
                "jobReference": reference,
                "configuration": {**body["configuration"], "jobType": KINDS[kind]},
                "user_email": f"local@{project}.iam.gserviceaccount.com",
                "status": {"state": "DONE"},
                "statistics": {"creationTime": now_ms(), "startTime": now_ms(), "totalBytesProcessed": "0"},
            }
        )

    def _remember(self, job: Job) -> None:
        self._jobs[job.resource["jobReference"]["jobId"]] = job
        while len(self._jobs) > KEPT:
            self._jobs.popitem(last=False)

    def _run(self, job: Job, runner: "Runner", project: str, payload: bytes | None) -> None:
        try:
            runner(self, job, project, payload)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the outcome of the job
            job.error = as_bigquery_error(error)
            if job.error.code == 501:
                traceback.print_exc(file=sys.stderr)
            job.resource["status"] |= {"errorResult": job.error.result(), "errors": [job.error.result()]}
        job.resource["statistics"]["endTime"] = now_ms()

    def _dry_run(self, job: Job, project: str) -> None:
        config = job.resource["configuration"]
        if "query" not in config:
            raise missing_here("dry runs of anything but queries")
        fields, num_bytes = self._engine.dry_run(config["query"], project)
        size = str(num_bytes)
        job.resource["statistics"] |= {
            "totalBytesProcessed": size,
            "query": {"schema": {"fields": fields}, "totalBytesProcessed": size, "statementType": "SELECT"},
        }

    # -- one method for each kind --------------------------------------------------------------------------------------

    def _query(self, job: Job, project: str, _: bytes | None) -> None:
        query = job.resource["configuration"]["query"]
        _refuse(query, "createSession", "connectionProperties", "tableDefinitions", "userDefinedFunctionResources")
        if query.get("useLegacySql"):
            raise missing_here("legacy SQL")
        outcome = job.outcome = self._engine.run(query, project)
        if outcome.statement_type == "SELECT":
            self._deliver(job, query, outcome, project)
        job.resource["statistics"]["query"] = _query_statistics(outcome)
        if outcome.target:
            query["destinationTable"] = outcome.target.reference

    def _deliver(self, job: Job, query: Resource, outcome: Outcome, project: str) -> None:
        destination = query.get("destinationTable")
        if destination is None:
            job_id = job.resource["jobReference"]["jobId"]
            query["destinationTable"] = TableId(project, ANONYMOUS, job_id).reference
            return
        kept = ("timePartitioning", "rangePartitioning", "clustering")
        self._engine.store(
            destination,
            outcome.table,
            disposition=query.get("writeDisposition", "WRITE_EMPTY"),
            metadata={key: query[key] for key in kept if key in query},
        )

    def _load(self, job: Job, _: str, payload: bytes | None) -> None:
        config = job.resource["configuration"]["load"]
        rows = self._engine.load(config, payload)
        job.resource["statistics"]["load"] = {"outputRows": str(rows), "badRecords": "0"}

    def _copy(self, job: Job, _: str, __: bytes | None) -> None:
        config = job.resource["configuration"]["copy"]
        job.resource["statistics"]["copy"] = {"copiedRows": str(self._engine.copy(config))}

    def _extract(self, job: Job, _: str, __: bytes | None) -> None:
        config = job.resource["configuration"]["extract"]
        job.resource["statistics"]["extract"] = {"destinationUriFileCounts": [str(self._engine.extract(config))]}


Runner = Callable[[Jobs, Job, str, bytes | None], None]
RUNNERS: dict[str, Runner] = {
    "query": Jobs._query,
    "load": Jobs._load,
    "copy": Jobs._copy,
    "extract": Jobs._extract,
}


def _refuse(config: Resource, *settings: str) -> None:
    if asked := [name for name in settings if config.get(name)]:
        raise missing_here(f"the setting {', '.join(asked)}")


def _query_statistics(outcome: Outcome) -> Resource:
    statistics: Resource = {
        "statementType": outcome.statement_type,
        "totalBytesProcessed": "0",
        "totalBytesBilled": "0",
        "cacheHit": False,
        "schema": {"fields": outcome.fields},
    }
    counts = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}
    if outcome.affected_rows is not None and not outcome.ddl:
        statistics["numDmlAffectedRows"] = str(outcome.affected_rows)
        if outcome.statement_type in counts:
            statistics["dmlStats"] = {counts[outcome.statement_type]: str(outcome.affected_rows)}
    if outcome.ddl:
        statistics["ddlOperationPerformed"] = outcome.ddl
        statistics["ddlTargetTable"] = outcome.target.reference if outcome.target else None
    return statistics
