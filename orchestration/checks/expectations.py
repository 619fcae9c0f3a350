"""Runs suites where the data is, by SQL, and writes Great Expectations' Data Docs beside the other reports."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import dagster as dg
from pydantic import Field

from ml.contract.errors import PlatformError
from orchestration.checks.suites import Rule, Suite
from orchestration.dialect import SqlDialect
from orchestration.settings import Platform, PlatformSettings

_CONNECT_ARGUMENTS: dict[SqlDialect, dict[str, bool]] = {
    "duckdb": {"read_only": True},
    # Answers of checks are a row or a few: a stream of Arrow for each would cost a session.
    "bigquery": {"prefer_bqstorage_client": False},
}


@dataclass(frozen=True)
class Verdict:
    """Whether a rule holds, and what was seen."""

    rule: Rule
    holds: bool
    value: float
    """Share of rows that break the rule; of a rule about a whole table, the observed value."""
    num_rows: int | None
    examples: tuple[str, ...]
    """Some of the values that break it."""
    page: str
    """Address of the suite's page in Data Docs."""


class Expectations(dg.ConfigurableResource[None]):
    """Great Expectations over one warehouse. Its own files stay under the home folder."""

    url: str = Field(description="SQLAlchemy address of the warehouse.")
    dialect: SqlDialect = Field(description="SQL the warehouse speaks.")
    folder: str = Field(description="Absolute folder of suites, results and Data Docs.")

    @classmethod
    def of(cls, settings: PlatformSettings) -> "Expectations":
        folder = str((settings.home / "expectations").absolute())
        match settings.platform:
            case Platform.EMBEDDED:
                url = f"duckdb+buffered:///{settings.warehouse_path.absolute()}"
                return cls(url=url, dialect="duckdb", folder=folder)
            case Platform.GCP:
                url = f"bigquery://{settings.gcp_project}?location={settings.gcp_location}"
                return cls(url=url, dialect="bigquery", folder=folder)
            case unknown:
                assert_never(unknown)

    def verdicts(self, suites: Iterable[Suite]) -> list[Verdict]:
        """One verdict a rule, in the order of the suites. Nothing stays open afterwards: dbt may be next to write.

        Raises:
            PlatformError: an expectation could not be evaluated at all.
        """
        # Imported here: six seconds and 220 MB that only a check needs.
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        import great_expectations as gx

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        context = gx.get_context(mode="file", project_root_dir=self.folder)
        context.variables.progress_bars = {"globally": False}
        datasource = self._datasource(context)
        return [verdict for suite in suites for verdict in _run(context, datasource, suite)]

    def _datasource(self, context: Any) -> Any:
        from orchestration.checks import duckdb_dialect

        duckdb_dialect.register()
        sources = context.data_sources
        add = {"duckdb": sources.add_or_update_sql, "bigquery": sources.add_or_update_bigquery}[self.dialect]
        return add(
            "warehouse",
            connection_string=self.url,
            create_temp_table=False,
            kwargs={"connect_args": _CONNECT_ARGUMENTS[self.dialect]},
        )


def _run(context: Any, datasource: Any, suite: Suite) -> list[Verdict]:
    import great_expectations as gx

    asset = datasource.add_query_asset(suite.name, query=" ".join(suite.query.split()))
    validation = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(
            name=suite.name,
            data=asset.add_batch_definition_whole_table("all"),
            suite=context.suites.add_or_update(_expectation_suite(suite)),
        )
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(
            name=suite.name,
            validation_definitions=[validation],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="data_docs")],
            result_format="SUMMARY",
        )
    )
    ((identifier, result),) = checkpoint.run().run_results.items()
    page = context.get_docs_sites_urls(resource_identifier=identifier)[0]["site_url"]
    found = {outcome.expectation_config.meta["rule"]: outcome for outcome in result.results}
    return [_verdict(rule, found[rule.name], page) for rule in suite.rules]


def _expectation_suite(suite: Suite) -> Any:
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name=suite.name,
        expectations=[
            getattr(gxe, rule.expectation)(
                **rule.arguments, meta={"rule": rule.name}, severity="critical" if rule.blocking else "warning"
            )
            for rule in suite.rules
        ],
    )


def _verdict(rule: Rule, outcome: Any, page: str) -> Verdict:
    seen: Mapping[str, Any] = outcome.result
    failures = _failures(outcome.exception_info)
    if failures or not seen:
        raise PlatformError(
            f"`{rule.name}` could not be evaluated. Expected: an answer of {rule.expectation}. "
            f"Received: {'; '.join(failures) or 'nothing.'} See whether the table is there and has the agreed columns: materialise its asset."
        )
    return Verdict(
        rule=rule,
        holds=bool(outcome.success),
        value=_observed(seen),
        num_rows=seen.get("element_count"),
        examples=tuple(str(value) for value in seen.get("partial_unexpected_list", [])[:5]),
        page=page,
    )


def _failures(told: Mapping[str, Any]) -> list[str]:
    """First lines of what the warehouse answered instead: told at once, or of each metric by its name."""
    of_each = [told] if "raised_exception" in told else told.values()
    messages = [str(each["exception_message"]) for each in of_each if each["raised_exception"]]
    return list(dict.fromkeys(message.split("\n", 1)[0] for message in messages))


def _observed(seen: Mapping[str, Any]) -> float:
    if "observed_value" in seen:
        return float(seen["observed_value"])
    # Over no rows SQL's sum is null: a shop that logs no impressions breaks no rule about them.
    return float((seen["unexpected_count"] or 0) / max(seen["element_count"], 1))
