"""Which rows are accepted, which are not, and why."""

from datetime import date, datetime, timedelta

from ml.features.pseudonym import pseudonym
from tests.dbt.shop import CATALOGUE, FIRST_DAY, KEY, MAX_EVENTS_PER_DAY, DbtHome, event
from tests.dbt.steps import EMBEDDINGS, IMAGE_EMBEDDINGS, TEXT_EMBEDDINGS

AT = datetime(2024, 5, 1, 12)


def reasons(home: DbtHome) -> dict[int, str]:
    return dict(home.rows("select source_row, reason from intermediate.int_interactions_rejected"))


def build_events(home: DbtHome) -> None:
    assert not home.build("--select", "tag:daily").failed


def test_every_row_is_a_fact_or_a_rejected_row_with_a_reason(built: DbtHome) -> None:
    ((raw, facts, rejected, explained),) = built.rows("""
        select
            (select count(*) from raw.interactions),
            (select count(*) from marts.fct_interactions),
            (select count(*) from intermediate.int_interactions_rejected),
            (select count(reason) from intermediate.int_interactions_rejected)
    """)
    assert raw == facts + rejected
    assert rejected == explained


def test_the_small_shop_holds_every_kind_of_dirt_these_tests_are_about(built: DbtHome) -> None:
    found = {reason for (reason,) in built.rows("select distinct reason from intermediate.int_interactions_rejected")}
    assert found == {"missing_user_id", "unknown_event_type", "from_the_future", "bot", "duplicate"}


def test_a_row_out_of_scope_keeps_the_mapping_s_reason_and_is_not_dirt(home: DbtHome) -> None:
    home.land([event("u1", "i1", AT), event(None, None, None, "x", excluded_because="not_a_sale", source_row=7)])
    build_events(home)

    assert home.rows("select source_row, reason, kind from intermediate.int_interactions_rejected") == [
        (7, "not_a_sale", "out_of_scope")
    ]


def test_an_event_told_again_days_later_is_rejected_against_the_accepted_one(home: DbtHome) -> None:
    told = event("u1", "i1", AT, event_id="e1", source_row=1)
    late = FIRST_DAY + timedelta(days=6)
    home.land([told])
    build_events(home)

    same_key = told | {"event_id": None, "source_row": 2, "landed_on": late}
    same_id = told | {"item_id": "i2", "source_row": 3, "landed_on": late}
    other = event("u1", "i3", AT, source_row=4, landed_on=late)
    home.land([told, same_key, same_id, other])
    assert not home.build("--select", "tag:daily", start_date=str(late), end_date=str(late)).failed

    assert reasons(home) == {2: "duplicate", 3: "duplicate"}
    assert home.rows("select item_id from marts.fct_interactions order by 1") == [("i1",), ("i3",)]


def test_a_bot_is_counted_over_all_that_arrived_until_then(home: DbtHome) -> None:
    early = [event("robot", f"i{n}", AT, source_row=n) for n in range(MAX_EVENTS_PER_DAY)]
    late = event("robot", "one too many", AT, source_row=99, landed_on=FIRST_DAY + timedelta(days=5))
    home.land(early)
    build_events(home)
    home.land([*early, late])
    day = str(late["landed_on"])
    assert not home.build("--select", "tag:daily", start_date=day, end_date=day).failed

    # What was accepted before stays: a row that arrives later must not change the past.
    assert reasons(home) == {99: "bot"}


def test_no_raw_user_id_passes_the_raw_layer(built: DbtHome) -> None:
    columns = built.rows("""
        select table_schema || '.' || table_name, column_name from information_schema.columns
        where table_schema in ('staging', 'intermediate', 'marts') and data_type = 'VARCHAR'
    """)
    assert columns
    for table, column in columns:
        raw_ids = f"select count(*) from {table} where {column} in (select user_id from raw.interactions)"
        assert built.rows(raw_ids) == [(0,)], f"{table}.{column}"


def test_a_pseudonym_is_the_one_python_makes(built: DbtHome) -> None:
    found = {user for (user,) in built.rows("select user_id from marts.dim_users")}
    assert found == {pseudonym(f"u{n}", KEY) for n in range(6)}


def test_an_item_has_one_tidy_row_the_one_created_last(built: DbtHome) -> None:
    found = built.rows("""
        select item_id, title, category, price, is_active, stock, first_seen_at is not null
        from marts.dim_items where item_id in ('i1', 'i2', 'i3', 'unseen') order by 1
    """)
    assert found == [
        ("i1", "A mug", "kitchen", None, True, None, True),
        ("i2", "A hat", None, None, False, 0, True),
        ("i3", None, None, None, True, None, True),
        ("unseen", "Never sold", None, None, True, None, False),
    ]


def test_a_vector_that_cannot_be_used_is_kept_with_its_reason(home: DbtHome) -> None:
    home.land(
        [event("u1", "i1", AT)],
        items=CATALOGUE,
        item_embeddings=EMBEDDINGS,
        item_text_embeddings=TEXT_EMBEDDINGS,
        item_image_embeddings=IMAGE_EMBEDDINGS,
    )
    build_events(home)
    assert not home.build("--select", "tag:whole").failed

    assert home.rows("select item_id, name, vector from marts.dim_item_embeddings order by 1, 2") == [
        ("i1", "encoded_image", [0.5, 0.5]),
        ("i1", "encoded_text", [0.6, 0.8]),
        ("i1", "image", [0.0, 1.0]),
        ("i1", "text", [0.5, -1.0, 2.0]),
    ]
    rejected = "select item_id, name, reason from intermediate.int_item_embeddings_judged where reason is not null"
    assert sorted(home.rows(rejected), key=repr) == [
        ("i1", "text", "duplicate"),
        ("i2", "encoded_image", "missing_picture"),
        ("i2", "text", "wrong_length"),
        ("i3", "encoded_image", "unreadable_picture"),
        ("unseen", "image", "not_finite"),
        ("unseen", "text", "not_finite"),
        (None, "image", "missing_item_id"),
    ]


def test_impressions_the_log_repeats_are_told_once(home: DbtHome) -> None:
    shown = {
        "request_id": "r",
        "user_id": "u1",
        "item_id": "i1",
        "position": 1,
        "shown_at": AT,
        "landed_on": date(2024, 5, 1),
    }
    home.land([event("u1", "i1", AT)], impressions=[shown, dict(shown), shown | {"position": 2}])
    build_events(home)

    assert home.rows("select position from marts.fct_impressions order by 1") == [(1,), (2,)]
