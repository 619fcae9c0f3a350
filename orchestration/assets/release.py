"""Stations 9 to 11: one bundle, judged on days it has not seen, released if it is surely better."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

import ml
from ml.bundle.repack import repack
from ml.bundle.write import BundleFolder, write_bundle
from ml.candidates.assemble import log_at, users_at
from ml.candidates.item_vectors import ItemVectors
from ml.candidates.models import StoredRetriever
from ml.contract.manifest import BundleFacts, Manifest
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.drift import DriftSnapshot
from ml.drift.features import WEEK
from ml.drift.snapshot import WEEKS as REFERENCE_WEEKS
from ml.evaluation.offline import Exam, judge_offline
from ml.evaluation.report import EvaluationReport
from ml.index.planner import BuiltIndex
from ml.ranking.train import TrainedRanker
from ml.release.gate import CHAMPION, Verdict, judge_report
from ml.runtime.bundle import Bundle, open_bundle
from ml.runtime.candidates import SourceTables
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.releases import ReleaseStore
from orchestration.resources.reports import ReportFolder
from orchestration.settings import utc_now

GROUP, OWNERS = "release", ["team:ml"]
GATE = "challenger_is_surely_better"


@dg.asset(kinds={"parquet"}, group_name=GROUP, owners=OWNERS)
def candidate_bundle(
    context: dg.AssetExecutionContext,
    training_examples: TrainingData,
    retriever: StoredRetriever,
    item_vectors: ItemVectors,
    ann_index: BuiltIndex,
    candidate_sources: SourceTables,
    ranker: TrainedRanker,
    recipe: RecipeResource,
    releases: ReleaseStore,
) -> dg.Output[BundleFolder]:
    """Everything an answer needs, in one folder with a manifest and the hash of every file. Nothing later than T is in it.

    Its version is derived from its content; a folder once written is never changed.
    """
    cut_at, chosen = training_examples.cut_at, recipe.read()
    users = users_at(training_examples, cut_at, log_at(training_examples, cut_at, item_vectors.items))
    models = retriever.final
    bundle = Bundle(
        version="draft",
        items=item_vectors.items,
        users=users,
        encoder=models.encoder,
        towers=models.towers,
        vectors=item_vectors.vectors,
        index=ann_index.index,
        sources=candidate_sources,
        ranker=ranker.ranker,
        settings=chosen.request,
    )
    facts = BundleFacts(
        cut_at=cut_at,
        data_start_at=training_examples.start_at,
        created_at=utc_now(),
        code_version=ml.__version__,
        dagster_run_id=context.run_id,
        recipe=chosen.name,
        num_items=len(bundle.items),
        num_users=len(users),
        dimension=bundle.vectors.shape[1],
        index_kind=ann_index.report.kind,
        index_recall=ann_index.report.recall,
    )
    with tempfile.TemporaryDirectory() as drift:
        snapshot_of(training_examples).save(Path(drift))
        written = write_bundle(bundle, [retriever.final_folder, Path(drift)], releases.candidates, facts=facts)
    return dg.Output(written, metadata=written.summary())


@dg.asset(kinds={"python"}, group_name=GROUP, owners=OWNERS)
def offline_report(
    context: dg.AssetExecutionContext,
    training_examples: TrainingData,
    candidate_bundle: BundleFolder,
    recipe: RecipeResource,
    releases: ReleaseStore,
    reports: ReportFolder,
) -> dg.Output[EvaluationReport]:
    """How good the candidate's own `recommend()` is on the held-out week: its models with the tables of the morning that week
    began, over the whole catalogue, beside the champion and the simple baselines, per slice, with intervals.
    """
    from ml.evaluation.page import html_page, markdown_page

    champion = releases.live_bundle()
    rivals = {CHAMPION: open_bundle(champion)} if champion else {}
    report = judge_offline(open_bundle(candidate_bundle.path), exam_of(training_examples, recipe), rivals=rivals)
    page = reports.page("offline_report", context.run_id)
    page.write_text(html_page(report.summary), encoding="utf-8")
    return dg.Output(
        report,
        metadata={
            "page": reports.shown(page),
            "report": dg.MetadataValue.md(markdown_page(report.summary)),
            "diversity_curve": dg.MetadataValue.json(report.summary.diversity_curve()),
            **report.summary.headline(),
        },
    )


@dg.asset(
    kinds={"mlflow"},
    group_name=GROUP,
    owners=OWNERS,
    output_required=False,
    check_specs=[
        dg.AssetCheckSpec(
            GATE,
            asset="released_bundle",
            description="The candidate's NDCG@10 is above the popular list's and, if there is a champion, above the "
            "champion's by a margin; both surely, by paired bootstrap.",
        )
    ],
)
def released_bundle(
    context: dg.AssetExecutionContext,
    training_examples: TrainingData,
    retriever: StoredRetriever,
    candidate_bundle: BundleFolder,
    offline_report: EvaluationReport,
    recipe: RecipeResource,
    releases: ReleaseStore,
    reports: ReportFolder,
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """The live bundle: registered in MLflow under the alias `champion`, published in one step.

    When the contest is lost, which is no failure, the champion's models stay and only its tables are made anew, so that new
    items and yesterday's events reach the lists. Not materialised when there is nothing to release.
    """
    from ml.release import Candidate

    chosen, champion = recipe.read(), releases.live_bundle()
    verdict = judge_report(offline_report, settings=chosen.gate)
    tags = {"dagster/run_id": context.run_id, "dagster/job": context.job_name}
    registry = releases.registry()
    registered = registry.log_candidate(
        candidate_bundle.path,
        Candidate(
            metrics=offline_report.summary.flat_metrics(),
            curves=retriever.curves,
            params={"recipe": chosen.name, "recipe_json": chosen.model_dump_json()[:6_000]},
            tags=tags,
            reports=(reports.page("offline_report", context.run_id),),
        ),
    )
    yield check_of(verdict)
    released, replaced = candidate_bundle, offline_report.summary.champion_version
    if not verdict.promote:
        context.log.warning("The challenger is not released: %s", " ".join(verdict.reasons))
        if champion is None or Manifest.read(champion).facts.cut_at >= training_examples.cut_at:
            return
        replaced = champion.name
        released = repack(
            champion,
            training_examples,
            releases.candidates,
            sources=chosen.sources,
            index=chosen.index,
            now=utc_now(),
            run_id=context.run_id,
        )
        registered = registry.log_candidate(released.path, Candidate(tags={**tags, "models_of": champion.name}))
    pointer = releases.publish(released.path, replacing=replaced)
    if verdict.promote:
        registry.promote(registered, verdict)
    else:
        registry.restore(released.version)
    yield dg.MaterializeResult(
        metadata={
            "version": pointer.version,
            "previous": pointer.previous or "none",
            "models": "the challenger's" if verdict.promote else "the champion's, with today's tables",
            "registry_version": registered.number,
            "mlflow_run_id": registered.run_id,
            "verdict": dg.MetadataValue.md(verdict.as_markdown()),
        }
    )


def exam_of(data: TrainingData, recipe: RecipeResource) -> Exam:
    chosen = recipe.read()
    return Exam(data, TimeSplit.at(data.cut_at, chosen.split, since=data.start_at), chosen.sources, chosen.index)


def snapshot_of(data: TrainingData) -> DriftSnapshot:
    """What drift will be measured against while this bundle is live."""
    start, cut = (at.replace(tzinfo=None) for at in (data.start_at, data.cut_at))
    newest = data.interactions(data.cut_at - REFERENCE_WEEKS * WEEK, data.cut_at)
    return DriftSnapshot.of(newest, data.items, data_start_at=start, cut_at=cut)


def check_of(verdict: Verdict) -> dg.AssetCheckResult:
    """The gate's verdict as a warning: a lost contest is news, not a failure."""
    return dg.AssetCheckResult(
        check_name=GATE,
        passed=verdict.promote,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **verdict.gains(),
            "reasons": " ".join(verdict.reasons),
            "table": dg.MetadataValue.md(verdict.as_markdown()),
        },
    )
