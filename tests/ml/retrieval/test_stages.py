"""The stages on a shop that is too young."""

import pytest

from ml.contract.errors import DataError
from ml.dataset.examples import require_examples
from ml.dataset.split import Window
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.stages import examples_of
from tests import world


def test_a_window_before_the_first_event_is_told_to_be_empty() -> None:
    examples = examples_of(world.training_data(), Window(0, 1), RetrieverSettings())
    assert len(examples) == 0
    with pytest.raises(DataError, match="at least one event that shows interest"):
        require_examples(examples)


def test_a_stage_knows_only_users_and_items_of_its_own_past() -> None:
    data = world.training_data()
    end = int(data.log.occurred_at[len(data.log) // 50])
    examples = examples_of(data, Window(end - 1, end), RetrieverSettings())
    assert 0 < len(examples.encoder.users) < world.NUM_USERS
