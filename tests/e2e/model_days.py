"""Lands and models every day of this process's source, without training: `python -m tests.e2e.model_days`."""

import sys

import dagster as dg

from orchestration.calendar import remember
from orchestration.definitions import defs
from orchestration.run import whole_range
from orchestration.settings import PlatformSettings, utc_now


def main() -> int:
    graph = defs.resolve_asset_graph()
    stations = {"ingest", "warehouse"}
    keys = [key for key in graph.get_all_asset_keys() if graph.get(key).group_name in stations]
    calendar = remember(PlatformSettings(), now=utc_now())
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("train_and_release")
        result = job.execute_in_process(
            asset_selection=keys, tags=whole_range(calendar), instance=instance, raise_on_error=False
        )
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
