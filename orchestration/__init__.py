"""The one asset graph from raw events to a released bundle. Knows Dagster; the numbers are made in `ml`."""

import warnings

# Dagster has called this parameter beta since 2023; a range of days in one run needs it. Twelve lines of warning do not.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
