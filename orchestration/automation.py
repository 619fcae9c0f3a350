"""Propagation: what follows by itself when something it is made of has changed."""

from collections.abc import Sequence

import dagster as dg

AC = dg.AutomationCondition

EVERY_TEN_MINUTES = AC.on_cron("*/10 * * * *")
"""Of `raw/items`: new items within minutes. Its DataVersion says whether anything is new."""


def when_data_of(*keys: Sequence[str]) -> dg.AutomationCondition[dg.AssetKey]:
    """Of what is made of `raw/items`: runs when the DataVersion of one of these inputs is another one, or will be after this tick.

    Only the inputs named count. The catalogue also depends on the events: those have the daily run, and a day that was never
    landed here must not hold new items back.
    """
    watched = dg.AssetSelection.assets(*keys)
    changed = AC.any_deps_match(AC.data_version_changed() | AC.will_be_requested()).allow(watched)
    missing = AC.any_deps_match(AC.missing() & ~AC.will_be_requested()).allow(watched)
    busy = AC.any_deps_match(AC.in_progress()).allow(watched) | AC.in_progress()
    return (changed.since_last_handled() & ~missing & ~busy).with_label("data_changed")


FOLLOW_GOOD_INPUTS = (AC.eager() & AC.all_deps_blocking_checks_passed()).with_label("follow_good_inputs")
"""Of vectors and index. A blocking check holds only inside its own run, so a run of another day has to ask for it."""

follow_changes = dg.AutomationConditionSensorDefinition(
    "follow_changes",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Evaluates the automation conditions of all assets.",
)
"""Named and running from the start: Dagster's implicit one stays off until somebody finds its switch."""
