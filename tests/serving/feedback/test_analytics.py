"""Figures one can redo on paper, on both databases."""

from datetime import date, timedelta

import pytest

from ml.contract.events import EventType
from serving.feedback.analytics import FunnelStep, Period, conversion_funnel, performance
from serving.feedback.schema import requests
from tests.serving.conftest import wait_until
from tests.serving.feedback.rows import DAY, NOW_US, SECOND, event, shown
from tests.serving.feedback.test_log import rows_of

TODAY, YESTERDAY = date(2026, 3, 3), date(2026, 3, 2)
WEEK = timedelta(days=7)
CLICK, CART, BUY, VIEW = EventType.RECOMMENDATION_CLICK, EventType.CART_ADD, EventType.PURCHASE, EventType.VIEW


def write(log, lists=(), events=()):
    for one in lists:
        log.shown(one)
    log.add(list(events)).result(10)
    wait_until(lambda: len(rows_of(log, requests)) == len(lists))


def measured(log, first=YESTERDAY, last=TODAY, window=WEEK):
    return log.ask(lambda connection: performance(connection, Period(first, last), window=window))


def figures(row):
    return (
        row.lists,
        row.impressions,
        row.clicks,
        row.cart_adds,
        row.purchases,
        row.revenue,
        row.purchases_without_price,
    )


def test_what_names_its_list_counts_for_it_by_day_surface_and_bundle(log):
    lists = [
        shown("r1", "i1", "i2", shown_at_us=NOW_US - DAY),
        shown("r2", "i1", "i2", "i3"),
        shown("r3", "i1", surface="product"),
        shown("r4", "i1", bundle_version="v2"),
    ]
    write(log, lists, [
        event("c1", event_type=CLICK, item_id="i1", request_id="r1"),
        event("c2", event_type=CLICK, item_id="i1", request_id="r1"),  # the same place again
        event("c3", event_type=CLICK, item_id="i9", request_id="r1"),  # was not in that list
        event("a1", event_type=CART, item_id="i2", request_id="r2"),
        event("b1", event_type=BUY, item_id="i2", request_id="r2", price=2.5, quantity=2.0),
        event("b2", event_type=BUY, item_id="i2", request_id="r2", price=1.0),
        event("b3", event_type=BUY, item_id="i3", request_id="r2"),
        event("b4", event_type=BUY, item_id="i1", request_id="r4"),
        event("v1", event_type=VIEW, item_id="i1", request_id="r4"),
    ])  # fmt: skip
    rows = measured(log)
    assert [(row.day, row.surface, row.bundle_version) for row in rows] == [
        (YESTERDAY, "homepage", "v1"),
        (TODAY, "homepage", "v1"),
        (TODAY, "homepage", "v2"),
        (TODAY, "product", "v1"),
    ]
    assert [figures(row) for row in rows] == [
        (1, 2, 1, 0, 0, None, 0),
        (1, 3, 0, 1, 2, 2 * 2.5 + 1.0, 1),
        (1, 1, 0, 0, 1, None, 1),  # bought, for a price nobody told: not 0
        (1, 1, 0, 0, 0, None, 0),
    ]


def test_a_purchase_that_names_no_list_counts_for_the_last_click_within_the_window(log):
    lists = [shown("r1", "i1", "i2"), shown("r2", "i1", "i2", shown_at_us=NOW_US + SECOND, surface="product")]
    click = {"event_type": CLICK, "item_id": "i1"}
    write(log, lists, [
        event("c1", request_id="r1", at_us=NOW_US + 2 * SECOND, **click),
        event("c2", request_id="r2", at_us=NOW_US + 3 * SECOND, **click),
        event("b1", event_type=BUY, item_id="i1", price=5.0, at_us=NOW_US + 4 * SECOND),
        event("b2", event_type=BUY, item_id="i2", price=7.0, at_us=NOW_US + 4 * SECOND),  # never clicked
        event("b3", event_type=BUY, item_id="i1", price=9.0, at_us=NOW_US + SECOND),  # before the click
        event("b4", event_type=BUY, item_id="i1", price=11.0, at_us=NOW_US + 8 * DAY),  # after the window
        event("b5", event_type=BUY, item_id="i1", price=13.0, at_us=NOW_US + 4 * SECOND, user_id="another"),
    ])  # fmt: skip
    homepage, product = measured(log)
    assert figures(homepage) == (1, 2, 1, 0, 0, None, 0)
    assert figures(product) == (1, 2, 1, 0, 1, 5.0, 0)
    assert measured(log, window=timedelta(days=10))[1].revenue == 5.0 + 11.0


def test_a_click_in_the_session_before_the_login_counts_too(log):
    write(log, [shown("r1", "i1", user_id=None, session_id="s")], [
        event("c1", event_type=CLICK, item_id="i1", request_id="r1", user_id=None, session_id="s"),
        event("b1", event_type=BUY, item_id="i1", at_us=NOW_US + SECOND, user_id="u", session_id="s", price=1.0),
        event("b2", event_type=BUY, item_id="i1", at_us=NOW_US + SECOND, user_id=None, session_id="t", price=1.0),
    ])  # fmt: skip
    assert figures(measured(log)[0]) == (1, 1, 1, 0, 1, 1.0, 0)


def test_a_period_has_whole_days_and_nothing_outside_them(log):
    midnight = NOW_US - 12 * 3600 * SECOND
    write(log, [shown("r1", "i1", shown_at_us=midnight - 1), shown("r2", "i1", shown_at_us=midnight), shown("r3", "i1", shown_at_us=midnight + DAY)])  # fmt: skip
    assert [row.day for row in measured(log, TODAY, TODAY)] == [TODAY]
    assert [row.lists for row in measured(log, TODAY, TODAY)] == [1]
    assert measured(log, TODAY + timedelta(days=2), TODAY + timedelta(days=2)) == []


def funnel(log, first=TODAY, last=TODAY):
    return log.ask(lambda connection: conversion_funnel(connection, Period(first, last)))


def test_the_funnel_counts_who_took_the_steps_in_their_order(log):
    def did(visitor, item, *steps):
        return [
            event(
                f"{visitor}{item}{place}", event_type=step, item_id=item, user_id=visitor, at_us=NOW_US + place * SECOND
            )
            for place, step in enumerate(steps)
        ]

    write(log, events=[
        *did("a", "i1", VIEW, CART, BUY),
        *did("a", "i2", CLICK, VIEW, CART),
        *did("b", "i1", CART, VIEW, CART, BUY),  # the cart before the view does not count, the one after does
        *did("c", "i1", VIEW, BUY, CART),  # bought before the cart
        *did("d", "i1", BUY),
        *did("e", "i1", VIEW),
        event("s1", event_type=VIEW, user_id=None, session_id="s"),
    ])  # fmt: skip
    steps, otherwise = funnel(log)
    assert steps == [FunnelStep("view", 5, 6), FunnelStep("cart_add", 3, 4), FunnelStep("purchase", 2, 2)]
    assert otherwise == 2  # c and d


def test_an_empty_log_has_an_empty_funnel(log):
    assert funnel(log) == ([FunnelStep(step, 0, 0) for step in ("view", "cart_add", "purchase")], 0)
    assert measured(log) == []


@pytest.mark.parametrize("days", [1, 92])
def test_a_period_is_in_utc(days):
    period = Period(TODAY, TODAY + timedelta(days=days - 1))
    assert period.end_us - period.start_us == days * DAY
    assert period.start_us % DAY == 0
