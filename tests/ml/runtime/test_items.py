import pytest

from tests import world


def test_a_price_is_shown_as_the_shop_wrote_it(bundle):
    assert bundle.items.display(bundle.items.row(world.item_id(3))).price == 13.0


@pytest.mark.parametrize("item", [0, 1, world.NUM_ITEMS - 1])
def test_what_is_shown_is_the_item_asked_for(bundle, item):
    shown = bundle.items.display(bundle.items.row(world.item_id(item)))
    assert (shown.item_id, shown.title) == (world.item_id(item), f"Item {item}")


def test_an_item_without_stock_is_not_available(bundle):
    assert not bundle.items.available[bundle.items.row(world.item_id(world.NUM_ITEMS - 1))]
    assert bundle.items.available[bundle.items.row(world.item_id(0))]
