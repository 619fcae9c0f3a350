"""The suites as asset checks. On raw tables dirt is expected and warned of; on what training reads it stops the run."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import dagster as dg

from orchestration.checks.expectations import Expectations, Verdict
from orchestration.checks.suites import Rule, Suite, suites_for


def _checks_of(asset: tuple[str, str], suites: list[Suite]) -> dg.AssetChecksDefinition:
    """All rules about one asset, run together: what is dear is to import and to connect."""

    @dg.multi_asset_check(
        name=f"check_{asset[1]}" if asset[0] != "raw" else f"check_raw_{asset[1]}",
        specs=[_spec(asset, rule) for suite in suites for rule in suite.rules],
        pool="warehouse",
    )
    def check(expectations: Expectations) -> Iterator[dg.AssetCheckResult]:
        names = {suite.name for suite in suites}
        # The queries in the warehouse's own SQL; names and rules are those of the specs in every dialect.
        spoken = [suite for suite in suites_for(expectations.dialect) if suite.name in names]
        for verdict in expectations.verdicts(spoken):
            yield _result(asset, verdict)

    return check


def _spec(asset: tuple[str, str], rule: Rule) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name=rule.name,
        asset=dg.AssetKey(asset),
        description=f"{rule.expectation} with {_said(rule)}.",
        blocking=rule.blocking,
    )


def _said(rule: Rule) -> str:
    return ", ".join(f"{name} {value}" for name, value in rule.arguments.items())


def _result(asset: tuple[str, str], verdict: Verdict) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {
        "value": verdict.value,
        "threshold": verdict.rule.threshold,
        "data_docs": dg.MetadataValue.url(verdict.page),
        "data_docs_file": dg.MetadataValue.path(verdict.page.removeprefix("file://")),
    }
    if verdict.num_rows is not None:
        metadata["rows"] = verdict.num_rows
    if verdict.examples:
        metadata["examples"] = dg.MetadataValue.md("\n".join(f"- `{value}`" for value in verdict.examples))
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(asset),
        check_name=verdict.rule.name,
        passed=verdict.holds,
        severity=dg.AssetCheckSeverity.ERROR if verdict.rule.blocking else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


data_checks = [
    _checks_of(asset, list(suites)) for asset, suites in groupby(suites_for("duckdb"), key=lambda suite: suite.asset)
]
"""One definition an asset."""
