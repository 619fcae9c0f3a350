"""What a perfect model of lasting taste would know."""

import numpy as np

from ml.contract.types import Floats, Rows
from ml.simulator.browsing import EXTRA_LOOKS, utility_of
from ml.simulator.buying import BOUGHT_SHARE, CART_SHIFT, CART_SLOPE, STAPLE_CHANCES
from ml.simulator.draws import sigmoid
from ml.simulator.world import World

_BLOCK = 512


def expected_purchases(world: World, user_rows: Rows, item_rows: Rows | None) -> Floats:
    """Log of expected purchases a day `[num_users, num_items]`: of what users look up by themselves, and of staples."""
    items = np.arange(len(world.catalogue.kinds), dtype=np.int32) if item_rows is None else item_rows
    blocks = [_of_block(world, user_rows[start : start + _BLOCK], items) for start in range(0, len(user_rows), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty((0, len(items)), np.float32)


def _of_block(world: World, user_rows: Rows, item_rows: Rows) -> Floats:
    tastes, kinds = world.people.tastes[user_rows], world.catalogue.kinds[item_rows]
    by_kind = np.exp(tastes @ world.kind_centres.T)
    by_kind /= by_kind.sum(axis=1, keepdims=True)
    weights = np.exp(tastes @ world.catalogue.appeal[item_rows].T + world.catalogue.quality[item_rows])
    of_kind = np.zeros((world.num_kinds, len(item_rows)), np.float32)
    of_kind[kinds, np.arange(len(item_rows))] = 1
    inside = weights / np.maximum((weights @ of_kind.T)[:, kinds], 1e-12)
    looks = world.people.sessions_per_day[user_rows][:, None] * (1 + EXTRA_LOOKS) * by_kind[:, kinds] * inside
    pairs = np.repeat(user_rows, len(item_rows)), np.tile(item_rows, len(user_rows))
    carted = sigmoid(CART_SHIFT + CART_SLOPE * utility_of(world, *pairs)).reshape(looks.shape)
    rates = looks * carted * BOUGHT_SHARE + _staple_rates(world, user_rows, item_rows)
    logs: Floats = np.log(np.maximum(rates, 1e-12)).astype(np.float32)
    return logs


def _staple_rates(world: World, user_rows: Rows, item_rows: Rows) -> Floats:
    staples = world.staples
    row_of_user = np.full(len(world.people.segments), -1)
    row_of_user[user_rows] = np.arange(len(user_rows))
    column_of_item = np.full(len(world.catalogue.kinds), -1)
    column_of_item[item_rows] = np.arange(len(item_rows))
    rows, columns = row_of_user[staples.user_rows], column_of_item[staples.item_rows]
    mine = (rows >= 0) & (columns >= 0)
    rates = np.zeros((len(user_rows), len(item_rows)), np.float32)
    np.add.at(rates, (rows[mine], columns[mine]), sum(STAPLE_CHANCES) / staples.period_days[mine])
    return rates
