"""The same question to another bundle, with the same knowledge of the visitor."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from ml.contract.errors import ContractError, UnknownItemError
from ml.contract.events import EventType
from ml.runtime.compare import answered_by
from ml.runtime.items import ItemTable
from ml.runtime.recommend import recommend
from ml.runtime.requests import HomeRequest, ProductRequest
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings
from ml.runtime.state import Event, state_of
from ml.runtime.trace import RequestTrace
from tests import world
from tests.ml.runtime.test_trace import EVENTS, NOW, REQUESTS


def asked(bundle, request, events=EVENTS):
    """An answer of a visitor who did something since the cut, and its trace."""
    state = state_of(bundle, bundle.users.of(request.user_id), events, NOW)
    answer = recommend(bundle, request, state=state, now=NOW)
    return answer, RequestTrace.of(answer, bundle)


def with_cut(bundle, cut):
    facts = bundle.manifest.facts.model_copy(update={"cut_at": cut})
    return replace(bundle, version="other", manifest=bundle.manifest.model_copy(update={"facts": facts}))


@pytest.mark.parametrize("kind", REQUESTS)
def test_an_equal_bundle_of_another_version_gives_the_same_list(bundle, kind):
    answer, trace = asked(bundle, REQUESTS[kind])
    other = answered_by(replace(bundle, version="other"), trace, asked=bundle)
    assert (other.bundle_version, other.items) == ("other", answer.items)


def test_a_bundle_of_other_rules_answers_by_its_own(bundle):
    strict = replace(bundle, version="strict", settings=RequestSettings(rules=Rules(exclude_purchased=True)))
    answer, trace = asked(bundle, HomeRequest(user_id=world.user_id(1)))
    bought = {bundle.items.vocabulary.id(row) for row in answer.made_from.state.purchased()}
    assert bought & {item.item_id for item in answer.items}
    other = answered_by(strict, trace, asked=bundle)
    assert not bought & {item.item_id for item in other.items}


def test_a_bundle_of_an_older_cut_is_told_what_the_newer_one_had_in_its_record(bundle):
    """Without that an older release would look worse than it was: it would know less of the visitor than of its own time."""
    user = world.user_id(1)
    known = bundle.users.of(user)
    cut = world.CUT - timedelta(days=20)
    past = known.history.taken((known.history.occurred_at < cut.timestamp()).nonzero()[0])
    older = with_cut(bundle, cut)
    older_users = replace(older.users, histories=_only(older.users.histories, known.row, past))
    _, trace = asked(bundle, HomeRequest(user_id=user), events=[])
    answer = answered_by(replace(older, users=older_users), trace, asked=bundle)
    assert len(answer.made_from.state.record) == len(past) < len(known.history)
    assert answer.made_from.state.history.item_rows.tolist() == known.history.item_rows.tolist()


def _only(histories, row, history):
    """These histories with another one for one user."""
    before, after = histories.starts[row], histories.starts[row + 1]
    columns = {
        name: [*getattr(histories, name)[:before], *getattr(history, name), *getattr(histories, name)[after:]]
        for name in ("item_rows", "event_codes", "occurred_at", "quantity")
    }
    starts = histories.starts.copy()
    starts[row + 1 :] -= after - before - len(history)
    dtypes = {name: getattr(histories, name).dtype for name in columns}
    return type(histories)(starts, **{name: np.array(values, dtypes[name]) for name, values in columns.items()})


def test_an_event_counts_once_where_the_other_bundle_s_record_holds_it_too(bundle):
    user = world.user_id(1)
    known = bundle.users.of(user)
    at, row = int(known.history.occurred_at[-1]), int(known.history.item_rows[-1])
    again = Event(bundle.items.vocabulary.id(row), EventType.PURCHASE, NOW)
    _, trace = asked(bundle, HomeRequest(user_id=user), events=[again])
    answer = answered_by(replace(bundle, version="other"), trace, asked=bundle)
    assert len(answer.made_from.state.history) == len(known.history) + 1
    assert at >= (world.CUT - timedelta(days=5)).timestamp()  # the record reaches into the overlap


def test_the_page_of_an_item_the_other_bundle_lacks_is_refused(bundle):
    _, trace = asked(bundle, ProductRequest(item_id=world.item_id(2)))
    table = bundle.items.table
    smaller = replace(bundle, version="other", items=ItemTable(table.slice(3)))
    with pytest.raises(UnknownItemError, match="Received: 'i002'"):
        answered_by(smaller, trace, asked=bundle)


def test_a_bundle_without_a_cut_is_refused(bundle):
    _, trace = asked(bundle, HomeRequest())
    with pytest.raises(ContractError, match="A comparison needs a bundle with a manifest"):
        answered_by(replace(bundle, manifest=None), trace, asked=bundle)
