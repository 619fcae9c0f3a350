"""A contest of planted tastes: who learns must beat who does not, with the same budget and without the answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leaderboard import entry
from benchmarks.leaderboard.contest import DEPTH, Contest
from benchmarks.leaderboard.datasets import Dataset, contest_of, past_of_pairs, some_of_each_user
from benchmarks.leaderboard.entry import Entry, entries
from benchmarks.leaderboard.peers import PEERS, Peer
from benchmarks.leaderboard.search import chosen, drawn_choices, measured
from benchmarks.leaderboard.tables import Table, write
from ml.evaluation.ranking_metrics import Hits

USERS, ITEMS, KINDS = 120, 160, 8
TRIALS = 2
QUICK = ("popular", "item-kNN", "EASE", "GF-CF", "iALS", "BPR")
LEARNING = ("item-kNN", "EASE", "GF-CF", "iALS")
CHANCE = 20 / (ITEMS - 9)
"""Recall@20 of lists drawn blindly from what they may hold."""
MARKS = "# Title\n\n<!-- leaderboard -->\nold\n<!-- end -->\nrest\n"


def contest(seed: int) -> Contest:
    """Each user takes 12 of the 20 items of one kind; three of them are asked for."""
    rng = np.random.default_rng(seed)
    items = np.concatenate([user % KINDS + KINDS * rng.permutation(ITEMS // KINDS)[:12] for user in range(USERS)])
    users = np.arange(USERS, dtype=np.int32).repeat(12)
    held_out = some_of_each_user(users, share=0.25)
    past = past_of_pairs(users[~held_out], items[~held_out].astype(np.int32), num_users=USERS, num_items=ITEMS)
    return contest_of(past, users[held_out], items[held_out].astype(np.int32))


TINY = Dataset(
    "tiny", "Tiny", "Planted tastes.", ("ndcg@10", "recall@20"), lambda _: (contest(0), [contest(1), contest(2)])
)


@pytest.fixture(scope="module")
def found() -> dict[str, Entry]:
    return {name: row for name in QUICK for row in entries(TINY, name, Path(), trials=TRIALS)}


def test_peers_that_learn_find_the_planted_tastes_and_beat_chance(found):
    for name in LEARNING:
        recall = float(np.nanmean(found[name].values["recall@20"]))
        assert recall > 4 * CHANCE, name
        assert recall > 1.5 * float(np.nanmean(found["popular"].values["recall@20"])), name


def test_every_peer_has_the_same_budget_and_says_what_it_chose(found):
    assert {peer.name for peer in PEERS if peer.budgets > 1} == {"item-kNN"}
    for peer in PEERS:
        if peer.name in found:
            assert found[peer.name].trials == TRIALS * peer.budgets
        sizes = len(list(drawn_choices(peer, trials=8, seed=7)))
        assert sizes == (1 if not peer.space else 8), peer.name
        if peer.name in found:
            assert set(found[peer.name].choices) == set(peer.space)


def test_shrinkage_lets_item_knn_believe_many_rather_than_one():
    """Of who has items 0 and 2: three who had to do with much went from 0 to 1, and one who did little else from 2 to 3."""
    many = [[0, 1, *range(4 + 8 * user, 12 + 8 * user)] for user in range(3)]
    people = [*many, [2, 3], *[[0]] * 3, [0, 2]]
    users = np.repeat(np.arange(len(people), dtype=np.int32), [len(items) for items in people])
    past = past_of_pairs(users, np.concatenate(people).astype(np.int32), num_users=len(people), num_items=28)
    asked = contest_of(past, np.array([len(people) - 1], np.int32), np.array([1], np.int32)).without_answers()
    [item_knn] = [peer for peer in PEERS if peer.name == "item-kNN"]

    def first(*, damping: float, user_shrinkage: float = 0.0, item_shrinkage: float = 0.0) -> int:
        choices = {"neighbours": 28, "half_life": None, "damping": damping}
        shrunk = {"user_shrinkage": user_shrinkage, "item_shrinkage": item_shrinkage}
        return int(item_knn.lists(asked, choices | shrunk, 0)[0, 0])

    assert 3 / (7 * 3) ** 0.5 < 1 / (2 * 1) ** 0.5
    assert first(damping=0.0) == 3
    assert 3 / (15 * 11) ** 0.5 > 1 / (10 * 9) ** 0.5
    assert first(damping=0.0, item_shrinkage=8.0) == 1
    assert 3 / 10 / (15 * 11) ** 0.5 < 1 / 2 / (10 * 9) ** 0.5
    assert first(damping=1.0, item_shrinkage=8.0) == 3
    assert 3 / 74 / (15 * 11) ** 0.5 > 1 / 66 / (10 * 9) ** 0.5
    assert first(damping=1.0, item_shrinkage=8.0, user_shrinkage=64.0) == 1


def test_a_value_is_kept_for_each_user_of_each_contest(found):
    for row in found.values():
        assert row.owners.tolist() == [*range(USERS), *range(USERS)]
        assert row.contests.tolist() == [0] * USERS + [1] * USERS
        assert {len(values) for values in row.values.values()} == {2 * USERS}


def test_a_choice_is_made_by_the_contest_for_choosing_alone():
    def stubborn(question: Contest, choices: dict, _: int) -> np.ndarray:
        assert not len(question.relevant.item_rows)  # a question holds no answers
        return question.lists_of(
            lambda users: np.tile(choices["order"] * np.arange(ITEMS, dtype=float), (len(users), 1))
        )

    asked = contest(0)
    highest = asked.relevant.item_rows >= ITEMS - 40
    asked = replace(asked, relevant=asked.relevant.where(highest))
    peer = Peer("stubborn", stubborn, {"order": (-1, 1)})
    assert chosen(peer, asked, metric="recall@20", trials=2, seed=0) == ({"order": 1}, 2)


def test_lists_break_ties_by_row_leave_out_what_one_has_and_are_whole():
    question = contest(0)
    lists = question.lists_of(lambda users: np.zeros((len(users), ITEMS), np.float32))
    assert lists.shape == (USERS, DEPTH)
    for user, row in enumerate(lists):
        theirs = set(question.past.log.item_rows[question.past.log.user_rows == user].tolist())
        assert row.tolist() == [item for item in range(ITEMS) if item not in theirs][:DEPTH]


def test_two_runs_of_a_peer_give_the_same_lists():
    question = contest(1).without_answers()
    for peer in PEERS:
        if peer.name in QUICK:
            choices = next(drawn_choices(peer, trials=1, seed=1))
            np.testing.assert_array_equal(peer.lists(question, choices, 3), peer.lists(question, choices, 3))


def test_what_was_run_is_written_as_results_page_and_readme(found, tmp_path):
    for row in found.values():
        row.save(tmp_path / "kept" / TINY.name)
    ours = replace(found["EASE"], system="Aisle, sources and ranker", ours=True, choices={}, trials=0)
    ours.save(tmp_path / "kept" / TINY.name)
    (tmp_path / "docs").mkdir()
    for page in (tmp_path / "docs" / "leaderboard.md", tmp_path / "README.md"):
        page.write_text(MARKS)
    table = Table.of(replace(TINY, published={"Somebody": (0.5, 0.25)}), tmp_path / "kept")
    write([table], tmp_path)

    page = (tmp_path / "docs" / "leaderboard.md").read_text()
    facts = table.facts()
    assert facts["best_peer"] != ours.system
    assert [row["system"] for row in facts["rows"]] == [row.system for row in table.entries]
    for row in facts["rows"]:
        mean, low, high = row["values"]["ndcg@10"]
        assert low <= mean <= high
        assert f"{mean:.4f} [{low:.4f}, {high:.4f}]" in page
        assert mean == pytest.approx(np.mean(row["by_contest"]["ndcg@10"]), abs=1e-4)
        assert row["peak_mb"] > 50
    assert "| **Aisle, sources and ranker** |" in page
    assert "| *Somebody, as published* | 0.5000 | – | 0.2500 |" in page
    assert page.startswith("# Title\n")
    assert page.endswith("rest\n")
    assert (tmp_path / "benchmarks" / "leaderboard" / "results" / "tiny.json").exists()


def test_a_row_comes_back_from_its_files_as_it_was(found, tmp_path):
    row = found["iALS"]
    row.save(tmp_path)
    loaded = Entry.load(tmp_path / "ials.json")
    assert replace(loaded, values={}, owners=row.owners, contests=row.contests) == replace(row, values={})
    np.testing.assert_array_equal(loaded.values["ndcg@10"], row.values["ndcg@10"])
    assert entry.is_kept(tmp_path, "iALS")
    assert not entry.is_kept(tmp_path, "EASE")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("BPR", {"factors": 64, "learning_rate": 0.1, "regularization": 0.001, "epochs": 100}),
        pytest.param(
            "two-tower of the TFRS tutorial",
            {"dimension": 32, "learning_rate": 0.5, "batch_size": 128, "epochs": 10},
            marks=pytest.mark.tf,
        ),
    ],
)
def test_what_learns_by_steps_learns_given_enough_of_them(name: str, choices: dict[str, float]):
    asked = contest(1)
    peer = next(peer for peer in PEERS if peer.name == name)
    hits = Hits.of(peer.lists(asked.without_answers(), choices, 1), asked.relevant)
    assert np.nanmean(measured(hits, "recall@20")) > 2 * CHANCE


def test_a_rehearsal_shows_nothing_of_the_contests_that_count():
    [row] = entries(entry.rehearsal(TINY), "EASE", Path(), trials=1)
    assert row.contests.tolist() == [0] * USERS
    question = contest(0)
    peer = next(peer for peer in PEERS if peer.name == "EASE")
    hits = Hits.of(peer.lists(question.without_answers(), row.choices, 7), question.relevant)
    np.testing.assert_array_equal(row.values["ndcg@10"], measured(hits, "ndcg@10"))
