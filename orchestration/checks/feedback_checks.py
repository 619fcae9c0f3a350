"""What must hold of what the service wrote down."""

import dagster as dg

from ml.evaluation.parity import TOLERANCE, Difference, ParityReport, parity
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.sources.resource import SourceResource


@dg.asset_check(asset=["raw", "impressions"])
def logged_lists_can_be_made_again(
    source: SourceResource, releases: ReleaseStore, recipe: RecipeResource
) -> dg.AssetCheckResult:
    """The service's newest lists, made again from their traces by `recommend()` on the release that made them: the same items at the
    same places, scores to 1e-5. So what is served is what is measured."""
    log = source.service_log()
    newest = log.newest_lists(recipe.read().parity.lists) if log else []
    return result_of(parity(releases.bundle, newest))


def result_of(report: ParityReport) -> dg.AssetCheckResult:
    """An error where a list came out differently; a warning where nothing could be judged, for that proves nothing."""
    return dg.AssetCheckResult(
        passed=report.holds,
        severity=dg.AssetCheckSeverity.ERROR if report.num_different else dg.AssetCheckSeverity.WARN,
        description=_said(report),
        metadata={
            "verdict": _said(report),
            "lists_made_again": report.num_replayed,
            "items_compared": report.num_items,
            "different_lists": report.num_different,
            "equals_in_another_order": report.num_changed_places,
            "worst_difference": report.max_difference,
            "threshold": TOLERANCE,
            "release_no_longer_kept": report.num_without_bundle,
            "trace_of_another_shape": report.num_unreadable,
            **({"worst": _table(report.different)} if report.different else {}),
        },
    )


def _said(report: ParityReport) -> str:
    if report.num_different:
        worst = report.different[0]
        return f"{report.num_different} of {report.num_replayed} lists came out differently. Worst: {worst.request_id}. {worst.found}"
    if report.num_replayed:
        return f"{report.num_replayed} lists came out as they were logged."
    if report.num_without_bundle or report.num_unreadable:
        return "No logged list can be made again: its release is no longer kept, or its trace has another shape."
    return "Nothing to judge: the service has logged no list."


def _table(different: tuple[Difference, ...]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "request_id": each.request_id,
                    "surface": each.surface,
                    "bundle_version": each.bundle_version,
                    "found": each.found,
                }
            )
            for each in different
        ]
    )
