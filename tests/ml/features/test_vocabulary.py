import pytest

from ml.contract.errors import ContractError
from ml.features.vocabulary import Vocabulary


def test_rows_follow_the_sorted_ids_whatever_the_order_they_came_in():
    assert Vocabulary.fit(["b", "a", None, "b"]).ids.to_pylist() == ["a", "b"]


def test_unknown_and_null_ids_have_row_minus_one():
    vocabulary = Vocabulary.of(["a", "b"])
    assert vocabulary.rows(["b", "x", None, "a"]).tolist() == [1, -1, -1, 0]
    assert vocabulary.row(None) == vocabulary.row("x") == -1


def test_an_id_that_occurs_twice_is_refused():
    with pytest.raises(ContractError, match="each id once"):
        Vocabulary.of(["a", "a"])


def test_ids_with_line_breaks_survive_saving(tmp_path):
    vocabulary = Vocabulary.of(["a\nb", "", "ü"])
    vocabulary.save(tmp_path / "v.arrow")
    assert Vocabulary.load(tmp_path / "v.arrow").ids.to_pylist() == ["a\nb", "", "ü"]
