from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from ml.candidates.assemble import bundle_at
from ml.candidates.settings import SourceSettings
from ml.contract.errors import LeakageError
from ml.contract.types import Rows
from ml.dataset.split import WEEK
from ml.dataset.training_data import TrainingData
from ml.evaluation.baselines import Past, standard_baselines
from ml.evaluation.leakage import refuse_foresight
from ml.features.log import InteractionLog
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest
from ml.runtime.settings import RequestSettings
from tests import world

CUT = int(world.CUT.timestamp()) - 2 * WEEK
ASKED = np.arange(12, dtype=np.int32)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return world.training_data()


def past_of(log: InteractionLog, *, cut: int = CUT) -> Past:
    return Past.at(cut, log, user_rows=ASKED, recommendable=np.ones(world.NUM_ITEMS, np.bool_))


def test_an_oracle_that_counts_what_will_be_bought_is_flagged(data):
    def what_sells_next_week(log: InteractionLog) -> Rows:
        sold = np.bincount(log.between(CUT, CUT + WEEK).item_rows, minlength=world.NUM_ITEMS)
        return np.tile(np.argsort(-sold, kind="stable")[:10], (len(ASKED), 1)).astype(np.int32)

    with pytest.raises(LeakageError, match=r"Received: 12 of 12 lists that change.*position 0\. Cut the log"):
        refuse_foresight(what_sells_next_week, data.log, cut=CUT)


def test_an_oracle_of_one_user_is_flagged_too(data):
    def one_day_too_late_for_one_user(log: InteractionLog) -> Rows:
        honest, late = (standard_baselines(past_of(log, cut=cut), k=10)["own_history"] for cut in (CUT, CUT + WEEK))
        return np.where(ASKED[:, None] == 7, late, honest)

    with pytest.raises(LeakageError, match=r"Received: 1 of 12 lists .* that of position 7"):
        refuse_foresight(one_day_too_late_for_one_user, data.log, cut=CUT)


@pytest.mark.parametrize("name", ["own_history", "item_knn", "item_knn_new", "popular_7d", "popular"])
def test_no_baseline_looks_ahead(data, name):
    refuse_foresight(lambda log: standard_baselines(past_of(log), k=10)[name], data.log, cut=CUT)


def test_what_is_served_does_not_look_ahead(data, tmp_path):
    models, now = world.models(data, tmp_path), datetime.fromtimestamp(CUT, UTC)

    def lists_of(log: InteractionLog) -> Rows:
        known = replace(data, events=data.events if log is data.log else data.events.known_before(now))
        assert len(known.log) == len(log)
        bundle = bundle_at(known, now, models=models, settings=RequestSettings(), source_settings=SourceSettings())
        answers = [recommend(bundle, HomeRequest(user_id=world.user_id(user), limit=10), now=now) for user in ASKED]
        return np.array([[item.item_row for item in answer.items] for answer in answers], np.int32)

    refuse_foresight(lists_of, data.log, cut=CUT)
