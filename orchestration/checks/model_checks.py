"""What must hold of everything learned before the next station may use it. Each check tells the value and its threshold."""

import dagster as dg
import numpy as np

from ml.bundle.write import BundleFolder
from ml.candidates.item_vectors import ItemVectors
from ml.contract.errors import BundleError
from ml.dataset.training_data import TrainingData
from ml.evaluation.offline import lists_that_look_ahead
from ml.evaluation.report import BLEND, OURS, EvaluationReport
from ml.index.planner import BuiltIndex
from ml.runtime.bundle import open_bundle
from orchestration.assets.release import exam_of
from orchestration.resources.recipe import RecipeResource

MAX_PARITY_DIFFERENCE = 1e-5
MAX_MEAN_COSINE = 0.9


@dg.asset_check(asset=["ml", "training_examples"], blocking=True)
def no_event_of_the_future_in_the_past(training_examples: TrainingData) -> dg.AssetCheckResult:
    """Nothing in the snapshot happened, or became known, at or after T."""
    log, cut = training_examples.log, int(training_examples.cut_at.timestamp())
    late = int(np.count_nonzero((log.occurred_at >= cut) | (log.known_at >= cut)))
    return dg.AssetCheckResult(passed=late == 0, metadata={"late_events": late, "threshold": 0})


@dg.asset_check(asset=["ml", "item_vectors"], blocking=True)
def item_vectors_have_not_collapsed(item_vectors: ItemVectors) -> dg.AssetCheckResult:
    """All vectors are finite, and items do not all lie in one place."""
    finite = bool(np.isfinite(item_vectors.vectors).all())
    cosine = item_vectors.mean_cosine
    return dg.AssetCheckResult(
        passed=finite and cosine < MAX_MEAN_COSINE,
        metadata={"mean_cosine_between_items": cosine, "threshold": MAX_MEAN_COSINE, "finite": finite},
    )


@dg.asset_check(
    asset=["ml", "item_vectors"],
    additional_ins={"training_examples": dg.AssetIn(["ml", "training_examples"])},
    blocking=True,
)
def every_active_item_has_a_vector(training_examples: TrainingData, item_vectors: ItemVectors) -> dg.AssetCheckResult:
    """Whatever is for sale can be found, whether or not anybody has bought it yet."""
    active = training_examples.items.filter(training_examples.items["is_active"].fill_null(True))
    missing = int((item_vectors.items.vocabulary.rows(active["item_id"]) < 0).sum())
    return dg.AssetCheckResult(passed=missing == 0, metadata={"missing_items": missing, "threshold": 0})


@dg.asset_check(asset=["ml", "ann_index"], blocking=True)
def index_recall_is_high_enough(ann_index: BuiltIndex, recipe: RecipeResource) -> dg.AssetCheckResult:
    """The index finds what exact search finds, for the query vectors of real users."""
    least = recipe.read().index.min_recall
    found = ann_index.report.recall
    return dg.AssetCheckResult(
        passed=found >= least,
        metadata={"recall": found, "threshold": least, "k": ann_index.report.k, "kind": ann_index.report.kind},
    )


@dg.asset_check(asset=["ml", "candidate_bundle"], blocking=True)
def the_bundle_opens(candidate_bundle: BundleFolder) -> dg.AssetCheckResult:
    """The folder is what its manifest says, by opening it as the service does."""
    try:
        bundle = open_bundle(candidate_bundle.path)
    except BundleError as error:
        return dg.AssetCheckResult(passed=False, metadata={"problem": str(error)})
    return dg.AssetCheckResult(passed=True, metadata={"version": bundle.version, "items": len(bundle.items)})


@dg.asset_check(asset=["ml", "candidate_bundle"], blocking=True)
def exported_graphs_agree(candidate_bundle: BundleFolder) -> dg.AssetCheckResult:
    """What the service runs (ONNX) and what TensorFlow Serving would run (SavedModel) give the same numbers."""
    from ml.retrieval.parity import largest_difference

    difference = largest_difference(candidate_bundle.path)
    return dg.AssetCheckResult(
        passed=difference <= MAX_PARITY_DIFFERENCE,
        metadata={"largest_difference": difference, "threshold": MAX_PARITY_DIFFERENCE},
    )


@dg.asset_check(
    asset=["ml", "offline_report"],
    additional_ins={
        "training_examples": dg.AssetIn(["ml", "training_examples"]),
        "candidate_bundle": dg.AssetIn(["ml", "candidate_bundle"]),
    },
    blocking=True,
)
def judged_lists_do_not_look_ahead(
    training_examples: TrainingData, candidate_bundle: BundleFolder, recipe: RecipeResource
) -> dg.AssetCheckResult:
    """Lists stay as they are when the week they are judged by is taken out of the log their tables are made of."""
    looked = lists_that_look_ahead(open_bundle(candidate_bundle.path), exam_of(training_examples, recipe))
    return dg.AssetCheckResult(
        passed=not looked.any(),
        metadata={"lists_that_change": int(looked.sum()), "threshold": 0, "lists": len(looked)},
    )


@dg.asset_check(asset=["ml", "offline_report"])
def lists_are_better_than_every_baseline(offline_report: EvaluationReport) -> dg.AssetCheckResult:
    """NDCG@10 of the replayed lists is surely above that of the best simple baseline."""
    summary = offline_report.summary
    metric = summary.settings.primary_metric
    best = summary.best_baseline(metric)
    if best is None:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={"problem": "nobody was judged"}
        )
    gain = summary.comparison(metric, baseline=best).difference
    return dg.AssetCheckResult(
        passed=gain.low is not None and gain.low > 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**summary.headline(), "best_baseline": best, "gain_low": gain.low or 0.0, "threshold": 0.0},
    )


@dg.asset_check(asset=["ml", "offline_report"])
def the_ranker_is_better_than_the_unlearned_blend(offline_report: EvaluationReport) -> dg.AssetCheckResult:
    """NDCG@10 of the ranked lists is surely above that of the same candidates in the order of the blend, which answers without it."""
    summary = offline_report.summary
    metric = summary.settings.primary_metric
    compared = summary.comparison(metric, baseline=BLEND)
    ranked, blended = (summary.value(metric, system=system).mean for system in (OURS, BLEND))
    return dg.AssetCheckResult(
        passed=compared.verdict == "better",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "ranker": ranked or 0.0,
            "blend": blended or 0.0,
            "gain_low": compared.difference.low or 0.0,
            "threshold": 0.0,
            "num_users": compared.difference.num_users,
        },
    )
