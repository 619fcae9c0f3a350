"""Aisle's own rows: the default recipe on any contest, trained by what the contest lets a system know, asked through `recommend()`."""

import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.leaderboard.contest import DEPTH, Contest
from benchmarks.leaderboard.snapshot import asked_at, snapshot
from ml.candidates.assemble import bundle_at
from ml.candidates.models import Models, StoredRetriever
from ml.contract.types import Floats, Rows
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.experiments.recipe import Recipe
from ml.ranking.fit import fit_ranker
from ml.retrieval.stages import train_stages
from ml.runtime.bundle import Bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest

NAME = "aisle"
TOWERS, BLENDED, RANKED = "Aisle, two towers alone", "Aisle, all sources blended", "Aisle, sources and ranker"


def lists(contest: Contest, recipe: Recipe | None = None) -> dict[str, Rows]:
    """Lists `[num_users, DEPTH]` of each stage by its row's name. The row of another recipe than the default says which."""
    recipe = recipe or Recipe()
    said = "" if recipe == Recipe() else f" ({recipe.name})"
    with tempfile.TemporaryDirectory() as folder:
        bundle, cut_at = trained(contest, recipe, Path(folder))
        return {
            TOWERS + said: by_towers(contest, bundle),
            BLENDED + said: asked(contest, replace(bundle, ranker=None), now=cut_at),
            RANKED + said: asked(contest, bundle, now=cut_at),
        }


def trained(contest: Contest, recipe: Recipe, folder: Path) -> tuple[Bundle, datetime]:
    """A bundle of the instant the contest asks at, and that instant. Its towers stay in the folder, which must outlive it."""
    data, split = snapshot(contest, recipe.split)
    rules = recipe.request.rules.model_copy(update={"exclude_purchased": not contest.repeats})
    recipe = recipe.model_copy(update={"request": recipe.request.model_copy(update={"rules": rules})})
    learned = models(data, split, recipe, folder)
    bundle = bundle_at(data, data.cut_at, models=learned, settings=recipe.request, source_settings=recipe.sources)
    return bundle, data.cut_at


def models(data: TrainingData, split: TimeSplit, recipe: Recipe, folder: Path) -> Models:
    """Towers and ranker, learned as the graph learns them."""
    train_stages(data, split, recipe.retriever).save(folder)
    retriever = StoredRetriever(folder)
    ranker = fit_ranker(
        data, split, base=retriever.base, settings=recipe.ranker, request=recipe.request, sources=recipe.sources
    )
    return replace(retriever.final, ranker=ranker.ranker)


def by_towers(contest: Contest, bundle: Bundle) -> Rows:
    """Lists by the two towers alone, over the whole catalogue."""
    models = Models(bundle.encoder, bundle.towers)
    at = int(asked_at(contest).timestamp())
    queries = models.user_vectors(bundle.users, bundle.items, at=at, at_most=len(bundle.users))
    known = _rows(bundle.items.vocabulary.ids.to_pylist())
    place = np.full(contest.past.num_log_users, -1, np.int64)
    place[_rows(bundle.users.vocabulary.ids.to_pylist())] = np.arange(len(bundle.users))

    def scores(users: Rows) -> Floats:
        found = np.full((len(users), contest.past.num_items), -np.inf, np.float32)
        found[:, known] = queries[place[users]] @ bundle.vectors.T
        return found

    return contest.lists_of(scores)


def asked(contest: Contest, bundle: Bundle, *, now: datetime) -> Rows:
    """What `recommend()` answers each user, in the rows of the contest."""
    of_bundle = _rows(bundle.items.vocabulary.ids.to_pylist())
    found = np.full((contest.past.num_users, DEPTH), -1, np.int32)
    for position, user in enumerate(contest.past.user_rows.tolist()):
        answer = recommend(bundle, HomeRequest(user_id=f"u{user:07d}", limit=DEPTH), now=now)
        found[position, : len(answer.items)] = of_bundle[[item.item_row for item in answer.items]]
    return found


def _rows(ids: list[str]) -> Rows:
    """The contest's rows that ids of the snapshot stand for."""
    return np.array([int(name[1:]) for name in ids], np.int32)
