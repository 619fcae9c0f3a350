"""The towers alone, where tastes are planted."""

from dataclasses import replace

import pytest

from benchmarks import towers
from benchmarks.towers import Measured, measured, report, some_of
from ml.retrieval.settings import RetrieverSettings
from tests.benchmarks.test_leaderboard import CHANCE, TINY, contest

SMALL = RetrieverSettings(
    epochs=6, carry_on_epochs=2, batch_size=128, embedding_dim=16, factor_dim=8, tower_layers=(32,)
)


@pytest.mark.tf
def test_every_epoch_of_both_stages_is_judged_and_the_last_finds_the_planted_tastes():
    found = measured(contest(1), SMALL, metrics=["recall@20"], users=50)
    assert [each.epoch for each in found] == [*range(1, SMALL.epochs + SMALL.carry_on_epochs + 1)]
    assert found[-1].values["recall@20"] > 2 * CHANCE
    for name in ("wall_seconds", "cpu_seconds"):
        seconds = [getattr(each, name) for each in found]
        assert seconds == sorted(seconds), name


@pytest.mark.parametrize(("reach", "told"), [(0.2, "ndcg@10 0.2: epoch   2 "), (0.4, "ndcg@10 0.4: never reached")])
def test_it_is_told_when_a_value_was_first_reached(monkeypatch, capsys, reach, told):
    epochs = [Measured(i + 1, 2.0 * i, 1.0 * i, {"ndcg@10": value}) for i, value in enumerate((0.1, 0.2, 0.3))]

    def as_planned(*_args, on_epoch, **_options):
        for each in epochs:
            on_epoch(each)
        return epochs

    monkeypatch.setattr(towers, "measured", as_planned)
    report(replace(TINY, metrics=("ndcg@10", "recall@20")), contest(0), SMALL, users=50, reach=reach)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(epochs) + 1
    assert told in lines[-1]


def test_some_of_the_users_are_asked_the_same_question():
    whole = contest(0)
    some = some_of(whole, 7)
    assert len(some.past.user_rows) == some.relevant.num_users == 7
    for place, user in enumerate(some.past.user_rows):
        wanted = (whole.relevant, user), (some.relevant, place)
        mine, theirs = (each.item_rows[each.starts[at] : each.starts[at + 1]].tolist() for each, at in wanted)
        assert mine == theirs


def test_judging_takes_no_time(monkeypatch):
    now = iter([0.0, 3.0, 10.0, 12.0])
    monkeypatch.setattr(towers._Clock, "_now", staticmethod(lambda: towers.np.array([next(now)] * 2)))
    clock = towers._Clock()
    assert clock.stop() == (3.0, 3.0)
    clock.go()
    assert clock.stop() == (5.0, 5.0)
