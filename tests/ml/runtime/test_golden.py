"""A bundle is asked what it answered where it was written."""

from pathlib import Path

import pytest

from ml.contract.errors import BundleError
from ml.runtime.bundle import Bundle, open_bundle
from ml.runtime.golden import Golden, GoldenAnswer
from tests import world


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.bundle_folder(tmp_path_factory.mktemp("golden")).path


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return open_bundle(folder)


@pytest.fixture(scope="module")
def golden(folder: Path) -> Golden:
    found = Golden.read(folder)
    assert found is not None
    return found


def answer(**scores: float) -> GoldenAnswer:
    return GoldenAnswer(scores=scores)


def test_a_written_bundle_answers_as_it_did_before_it_was_written(bundle: Bundle, golden: Golden) -> None:
    assert {(each.user_id is None, each.item_id is None) for each in golden.answers} == {
        (True, True), (False, True), (True, False),
    }  # fmt: skip
    assert all(each.scores for each in golden.answers)
    assert golden.differing(bundle) is None


@pytest.mark.parametrize("number", range(9))
def test_a_wrong_answer_to_any_of_the_questions_is_found(bundle: Bundle, golden: Golden, number: int) -> None:
    wrong = golden.answers[number].model_copy(update={"scores": {"i999": 1.0}})
    answers = [*golden.answers[:number], wrong, *golden.answers[number + 1 :]]
    found = golden.model_copy(update={"answers": tuple(answers)}).differing(bundle)
    assert found is not None
    assert f"must answer golden question {number + 1} ({wrong.request.surface}) as it did" in found
    assert "i999" not in found, "nobody's list is told"
    assert str(getattr(wrong.request, "user_id", None)) not in found


def test_wrong_scores_of_the_right_items_are_found(bundle: Bundle, golden: Golden) -> None:
    first = golden.answers[0]
    shifted = first.model_copy(update={"scores": {item: score + 0.1 for item, score in first.scores.items()}})
    assert golden.model_copy(update={"answers": (shifted,)}).differing(bundle) is not None


def test_the_end_of_a_list_may_differ_between_processors() -> None:
    ten = {f"i{number}": 1 - number / 10 for number in range(10)}
    last_two_others = {**dict(list(ten.items())[:8]), "x": 0.2, "y": 0.1}
    last_three_others = {**dict(list(ten.items())[:7]), "x": 0.3, "y": 0.2, "z": 0.1}
    assert answer(**ten).agrees_with(answer(**last_two_others))
    assert not answer(**ten).agrees_with(answer(**last_three_others))
    assert answer(a=10.0).agrees_with(answer(a=10.005)), "a thousandth of a large score"
    assert not answer(a=1.0).agrees_with(answer(a=1.005))
    assert answer().agrees_with(answer())
    assert not answer().agrees_with(answer(a=1.0))


def test_a_bundle_of_before_there_were_golden_answers_has_none(tmp_path: Path) -> None:
    assert Golden.read(tmp_path) is None


def test_golden_answers_that_cannot_be_read_are_a_broken_bundle(tmp_path: Path) -> None:
    (tmp_path / "golden.json").write_text("{}")
    with pytest.raises(BundleError, match=r"golden\.json of bundle .* cannot be read"):
        Golden.read(tmp_path)
