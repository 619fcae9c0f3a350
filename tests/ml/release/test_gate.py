import numpy as np
import pytest
from numpy.typing import NDArray

from ml.contract.errors import ContractError
from ml.release.gate import GateSettings, PerUserMetrics, Verdict, judge

NUM_USERS = 400
USERS = tuple(f"u{i}" for i in range(NUM_USERS))


def system(values: NDArray[np.float64], **slices: NDArray[np.float64]) -> PerUserMetrics:
    return PerUserMetrics(USERS, {"all": values, **slices})


@pytest.fixture
def easy_and_hard_users() -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(0.1, 0.7, NUM_USERS)


def noise(scale: float, seed: int = 2) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, scale, NUM_USERS)


def test_the_first_bundle_must_only_beat_popularity(easy_and_hard_users: NDArray[np.float64]) -> None:
    verdict = judge(system(easy_and_hard_users + 0.05), champion=None, popularity=system(easy_and_hard_users))
    assert verdict.promote
    assert verdict.reasons == ("ndcg@10 is surely above popularity: gain +0.0500 [+0.0500, +0.0500].",)


def test_a_gain_that_may_be_chance_is_refused(easy_and_hard_users: NDArray[np.float64]) -> None:
    lucky = noise(0.2)
    lucky += 0.002 - lucky.mean()  # a mean gain ten times smaller than its standard error times 1.96
    verdict = judge(system(easy_and_hard_users + lucky), champion=None, popularity=system(easy_and_hard_users))
    assert not verdict.promote
    assert "not surely above popularity" in verdict.reasons[0]


def test_labels_shuffled_in_training_are_refused(easy_and_hard_users: NDArray[np.float64]) -> None:
    """Lists learned from shuffled labels hit as often as lists of random items: now and then."""
    rng = np.random.default_rng(3)
    learned_nothing = np.where(rng.random(NUM_USERS) < 0.03, rng.random(NUM_USERS), 0.0)
    for champion in (None, system(learned_nothing * 0.5)):
        verdict = judge(system(learned_nothing), champion=champion, popularity=system(easy_and_hard_users))
        assert not verdict.promote
        assert "popularity" in verdict.reasons[0]


def test_a_sure_gain_below_the_margin_is_refused(easy_and_hard_users: NDArray[np.float64]) -> None:
    champion, popularity = system(easy_and_hard_users), system(easy_and_hard_users / 2)
    challenger = system(easy_and_hard_users * 1.004)
    assert not judge(challenger, champion=champion, popularity=popularity).promote
    assert judge(challenger, champion=champion, popularity=popularity, settings=GateSettings(min_gain=0.003)).promote


def test_a_slice_that_surely_loses_too_much_is_refused_although_the_mean_gains(
    easy_and_hard_users: NDArray[np.float64],
) -> None:
    new_users = np.arange(NUM_USERS) < 80
    after = np.where(new_users, easy_and_hard_users * 0.9, easy_and_hard_users * 1.2)
    verdict = judged_on_slice(easy_and_hard_users, after, new_users)
    assert not verdict.promote
    assert verdict.reasons[0].startswith("new_users loses 10.0% against the champion")


def test_a_slice_within_the_tolerance_or_too_small_cannot_refuse(easy_and_hard_users: NDArray[np.float64]) -> None:
    new_users = np.arange(NUM_USERS) < 80
    a_little = np.where(new_users, easy_and_hard_users * 0.97, easy_and_hard_users * 1.2)
    assert judged_on_slice(easy_and_hard_users, a_little, new_users).promote
    very_few = np.arange(NUM_USERS) < 20
    a_lot = np.where(very_few, easy_and_hard_users * 0.5, easy_and_hard_users * 1.2)
    assert judged_on_slice(easy_and_hard_users, a_lot, very_few).promote


def judged_on_slice(before: NDArray[np.float64], after: NDArray[np.float64], members: NDArray[np.bool_]) -> Verdict:
    of_members = [np.where(members, values, np.nan) for values in (before, after)]
    champion, challenger = system(before, new_users=of_members[0]), system(after, new_users=of_members[1])
    return judge(challenger, champion=champion, popularity=system(before / 2))


def test_nobody_judged_is_a_refusal_not_a_zero() -> None:
    nobody = system(np.full(NUM_USERS, np.nan))
    verdict = judge(nobody, champion=None, popularity=nobody)
    assert not verdict.promote
    assert "Nobody was judged" in verdict.reasons[0]


def test_systems_judged_on_other_users_are_not_compared(easy_and_hard_users: NDArray[np.float64]) -> None:
    others = PerUserMetrics(USERS[::-1], {"all": easy_and_hard_users})
    with pytest.raises(ContractError, match="Replay both over the same held-out days"):
        judge(system(easy_and_hard_users), champion=None, popularity=others)


def test_a_verdict_survives_json(easy_and_hard_users: NDArray[np.float64]) -> None:
    verdict = judge(system(easy_and_hard_users + 0.05), champion=None, popularity=system(easy_and_hard_users))
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    assert "| popularity | all | +0.0500" in verdict.as_markdown()
