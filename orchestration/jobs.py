"""What is run together. Every job runs in one process: imports of the heavy libraries are paid once."""

import dagster as dg

from orchestration.pods import Pods
from orchestration.settings import PlatformSettings

RETRAIN_TAG = "aisle/retrain"
"""On every run that trains. The drift sensor's cool-down looks for it."""

PODS = Pods.read(PlatformSettings().pods)

MONITORING = dg.AssetSelection.groups("monitoring")

train_and_release = dg.define_asset_job(
    "train_and_release",
    selection=dg.AssetSelection.groups("ingest", "warehouse", "training", "release"),
    tags={RETRAIN_TAG: "true", **PODS.run_tags("train_and_release")},
    description="The whole path, raw events to released bundle, for one day or a range of days.",
)

retrain = dg.define_asset_job(
    "retrain",
    selection=dg.AssetSelection.groups("training", "release"),
    tags={RETRAIN_TAG: "true", **PODS.run_tags("retrain")},
    description="Train, judge and release again on the tables as they are.",
)

refresh_index = dg.define_asset_job(
    "refresh_index",
    selection=dg.AssetSelection.assets(["ml", "item_vectors"], ["ml", "ann_index"]),
    tags=PODS.run_tags("refresh_index"),
    description="Vectors and index of today's catalogue under the same towers. Automation does the same when items change.",
)

check_drift = dg.define_asset_job(
    "check_drift",
    selection=MONITORING,
    tags=PODS.run_tags("check_drift"),
    description="Compare the live window with the champion's training snapshot.",
)

search_recipes = dg.define_asset_job(
    "search_recipes",
    selection=dg.AssetSelection.assets(["ml", "best_recipe"]),
    tags=PODS.run_tags("search_recipes"),
    description="Try recipes on the weeks before the test week; an interrupted search goes on.",
)

compare_recipes = dg.define_asset_job(
    "compare_recipes",
    selection=dg.AssetSelection.assets(["ml", "experiment_comparison"]),
    tags=PODS.run_tags("compare_recipes"),
    description="Recipes side by side on the weeks before the test week.",
)

JOBS = [train_and_release, retrain, refresh_index, check_drift, search_recipes, compare_recipes]
