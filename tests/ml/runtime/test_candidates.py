"""What the sources of one request propose."""

from dataclasses import fields

import numpy as np
import pytest

from ml.contract.events import EventType
from ml.features.history import SECONDS_PER_DAY, History
from ml.runtime.candidates import (
    NEIGHBOURS,
    SOURCES,
    TABLES,
    Candidates,
    CandidateSettings,
    SourceTables,
    home_candidates,
    related_candidates,
)
from ml.runtime.factors import ItemFactors
from ml.runtime.interest import Readings
from ml.runtime.item_users import ItemUsers
from ml.runtime.neighbours import NeighbourTable
from ml.runtime.popular import Popularity
from ml.runtime.pulse import PULSE, Pulse
from ml.runtime.search import ExactIndex

NUM_ITEMS = 12
NOW = 1_000 * SECONDS_PER_DAY
NOTHING = dict.fromkeys(SOURCES, 0) | {"popular": 1}


def table(links: dict[int, dict[int, float]]) -> NeighbourTable:
    pairs = sorted((item, -weight, other) for item, others in links.items() for other, weight in others.items())
    items, weights, others = (np.array(column) for column in zip(*pairs, strict=True)) if pairs else ([], [], [])
    return NeighbourTable.of_pairs(
        np.array(items, np.int32), np.array(others, np.int32), -np.array(weights, np.float32), num_items=NUM_ITEMS
    )


def _interested(people: dict[int, tuple[int, ...]]) -> ItemUsers:
    """Of items: who is interested in them, all alike."""
    lists = [people.get(item, ()) for item in range(NUM_ITEMS)]
    users = np.array([user for each in lists for user in each], np.int32)
    return ItemUsers(np.cumsum([0, *map(len, lists)]), users, np.ones(len(users), np.float32))


def tables(*, people: dict[int, tuple[int, ...]] | None = None, **links: dict[int, dict[int, float]]) -> SourceTables:
    neighbours = {name: table(links.get(name, {})) for name in TABLES}
    recent = np.arange(NUM_ITEMS, 0, -1).astype(np.float32)  # item 0 is the most popular
    factors = ItemFactors(np.eye(NUM_ITEMS, 3, dtype=np.float16) + np.float16(0.25), np.ones(NUM_ITEMS, np.float32))
    return SourceTables(
        neighbours,
        factors,
        _interested(people or {}),
        Popularity(recent, recent, np.zeros(NUM_ITEMS, np.float32)),
        Pulse(np.zeros((NUM_ITEMS, len(PULSE)), np.float32)),
    )


def history(*rows: int) -> History:
    """Purchases, one a day, the last one yesterday."""
    size = len(rows)
    at = NOW - np.arange(size, 0, -1) * SECONDS_PER_DAY
    codes = np.full(size, EventType.PURCHASE.code, np.int8)
    return History(np.array(rows, np.int32), codes, at.astype(np.int64), np.ones(size, np.float32))


def home(past: History, sources: SourceTables, *, forbidden: tuple[int, ...] = (), **numbers: int) -> Candidates:
    vectors = np.zeros((NUM_ITEMS, 2), np.float32)
    vectors[:, 0] = np.arange(NUM_ITEMS) / NUM_ITEMS  # the last item is nearest
    allowed = np.ones(NUM_ITEMS, np.bool_)
    allowed[list(forbidden)] = False
    return home_candidates(
        past,
        np.array([1, 0], np.float32),
        at=NOW,
        tables=sources,
        index=ExactIndex(vectors),
        vectors=vectors,
        allowed=allowed,
        settings=CandidateSettings(**(NOTHING | numbers)),
    )


def proposed(found: Candidates, source: str) -> list[int]:
    return found.rows[found.proposed[:, SOURCES.index(source)]].tolist()


def test_every_source_has_its_number_and_every_table_is_asked_by_a_reading():
    assert set(SOURCES) <= set(CandidateSettings.model_fields)
    assert {asked.by for asked in NEIGHBOURS.values()} <= {field.name for field in fields(Readings)}


@pytest.mark.parametrize("source", NEIGHBOURS)
def test_a_table_proposes_the_neighbours_of_what_its_reading_holds(source):
    found = home(history(3), tables(**{NEIGHBOURS[source].table: {3: {7: 0.5, 8: 0.9}}}), **{source: 1})
    assert proposed(found, source) == [8]


def test_what_a_rule_keeps_from_the_user_takes_no_place_of_a_source():
    links = {3: {4: 0.9, 5: 0.8, 6: 0.1}}
    found = home(history(3), tables(item_knn=links), forbidden=(4, 5), item_knn=1)
    assert proposed(found, "item_knn") == [6]


def test_nor_does_it_take_a_place_of_the_two_towers():
    past = history(11, 10)
    assert proposed(home(past, tables(), two_tower=2), "two_tower") == [10, 11]
    assert proposed(home(past, tables(), forbidden=(10, 11), two_tower=2), "two_tower") == [8, 9]


def test_the_factors_choose_among_what_the_others_propose():
    """Items 0, 1 and 2 have a direction of their own; 0 is the user's, and all share a little."""
    sources = tables(item_knn={0: {1: 0.5, 5: 0.4}})
    found = home(history(0), sources, item_knn=2, popular=1, spectral=1)
    assert found.rows.tolist() == [0, 1, 5]
    assert proposed(found, "spectral") == [0]
    among_new = home(history(0), sources, forbidden=(0,), item_knn=2, popular=1, spectral=1)
    assert proposed(among_new, "spectral") == [1]
    scores = among_new.scores[:, SOURCES.index("spectral")]
    strength = 1 - np.exp(-1)
    assert scores.tolist() == pytest.approx(
        [strength * (1.25 * 0.25 + 0.25 * 1.25 + 0.25**2), strength * (1.25 * 0.25 + 2 * 0.25**2)], rel=1e-3
    )


def test_people_alike_choose_among_what_the_others_propose():
    """User 0 likes what this one does, and item 5; user 1 does not, and likes item 1."""
    sources = tables(item_knn={0: {1: 0.5, 5: 0.4}}, people={0: (0,), 1: (1,), 5: (0,), 9: (0,)})
    found = home(history(0), sources, item_knn=2, popular=1, user_knn=3)
    assert found.rows.tolist() == [0, 1, 5]
    assert proposed(found, "user_knn") == [0, 5]


def test_on_a_page_a_table_speaks_for_every_source_that_asks_it():
    sources = tables(item_knn={3: {7: 0.5}})
    vectors = np.ones((NUM_ITEMS, 2), np.float32)
    found = related_candidates(
        np.array([3], np.int32),
        tables=sources,
        index=ExactIndex(vectors),
        vectors=vectors,
        allowed=np.ones(NUM_ITEMS, np.bool_),
        settings=CandidateSettings(**NOTHING | {"item_knn": 1, "recent_knn": 1}),
    )
    assert proposed(found, "item_knn") == proposed(found, "recent_knn") == [7]


def a_few(*scores: list[float], rows: tuple[int, ...]) -> Candidates:
    """Candidates with the scores of the first sources; the others say nothing."""
    table = np.zeros((len(rows), len(SOURCES)), np.float32)
    table[:, : len(scores)] = np.array(scores, np.float32).T
    return Candidates(np.array(rows, np.int32), table, table > 0)


def test_the_best_are_those_that_all_sources_together_put_first():
    """Ranks of 3, 5, 7 and 9: by the first source 1, 2, 3 and none, by the second none, 2, 1 and 3."""
    found = a_few([0.9, 0.8, 0.7, 0.0], [0.0, 0.5, 0.6, 0.4], rows=(3, 5, 7, 9))
    fused = {3: 1 / 11, 5: 1 / 12 + 1 / 12, 7: 1 / 13 + 1 / 11, 9: 1 / 13}
    in_order = sorted(fused, key=fused.__getitem__, reverse=True)
    for most in range(1, 5):
        assert found.best(most).rows.tolist() == sorted(in_order[:most])


def test_what_the_caller_named_stays_however_little_the_sources_say():
    found = a_few([0.9, 0.8, 0.0], rows=(3, 5, 7))
    assert found.best(1, named=np.array([4, 7], np.int32)).rows.tolist() == [3, 7]


def test_the_best_keep_the_shares_and_ranks_they_had_among_all():
    found = a_few([0.8, 0.4, 0.2], [0.0, 0.3, 0.3], rows=(3, 5, 7))
    best = found.best(1)
    assert best.rows.tolist() == [5]
    assert best.shares[0, :2] == pytest.approx([0.4 / 0.8, 1.0])
    assert best.ranks[0, :2] == pytest.approx([1 / 2, 1 / 1])


def test_the_ranker_is_asked_about_no_more_than_the_best():
    past, links = history(3), tables(item_knn={3: {4: 0.9, 5: 0.8, 6: 0.1}})
    assert home(past, links, item_knn=3, popular=3).rows.tolist() == [0, 1, 2, 4, 5, 6]
    assert len(home(past, links, item_knn=3, popular=3, at_most=2).rows) == 2
