"""The one asset graph from raw events to a released bundle. Knows Dagster; the numbers are made in `ml`."""

import warnings

# Dagster has called what we use of it beta for years: ranges of days in one run, data versions. Each import would say so anew.
warnings.filterwarnings("ignore", message=".* is currently in beta, and may have breaking changes")
