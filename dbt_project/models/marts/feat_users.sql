{{ config(**whole_table(cluster_by=['user_id'], partition_by={'field': 'cut_at', 'data_type': 'timestamp', 'granularity': 'day'})) }}

with days as (

    select * from {{ ref('int_user_item_days') }}

),

cuts as (

    select * from {{ ref('int_feature_cuts') }}

),

purchases as (

    select * from {{ ref('fct_interactions') }}
    where event_type = 'purchase'

),

items as (

    select * from {{ ref('dim_items') }}

),

/* A row counts from the first cut that knows it: one pass over the past however many cuts there are.
   Known before a cut implies happened before it, so `known_date` alone decides. */
new_at_cut as (

    select
        cuts.cut_date as since,
        days.user_id,
        items.category,
        sum(days.num_events) as num_events,
        sum(days.num_purchases) as num_purchases,
        sum(days.num_priced_purchases) as num_priced_purchases,
        sum(days.sum_of_prices) as sum_of_prices,
        sum(
            days.weight_at_day_end * {{ decay(days_between(add_days('days.event_date', 1), 'cuts.cut_date')) }}
        ) as weight_decayed,
        min(days.first_occurred_at) as first_occurred_at,
        max(days.last_occurred_at) as last_occurred_at
    from days
    inner join cuts
        on days.known_date < cuts.cut_date
        and days.known_date >= cuts.previous_cut_date
    left join items on days.item_id = items.item_id
    group by cuts.cut_date, days.user_id, items.category

),

categories as (

    select
        cuts.cut_at,
        cuts.cut_date,
        new_at_cut.user_id,
        new_at_cut.category,
        sum(new_at_cut.num_events) as num_events,
        sum(new_at_cut.num_purchases) as num_purchases,
        sum(new_at_cut.num_priced_purchases) as num_priced_purchases,
        sum(new_at_cut.sum_of_prices) as sum_of_prices,
        -- Rounded, so that the order in which an engine happens to add cannot decide between equals.
        round(
            sum(new_at_cut.weight_decayed * {{ decay(days_between('new_at_cut.since', 'cuts.cut_date')) }}), 6
        ) as weight_decayed,
        min(new_at_cut.first_occurred_at) as first_occurred_at,
        max(new_at_cut.last_occurred_at) as last_occurred_at
    from new_at_cut
    inner join cuts on new_at_cut.since <= cuts.cut_date
    group by cuts.cut_at, cuts.cut_date, new_at_cut.user_id, new_at_cut.category

),

categories_placed as (

    select
        cut_date,
        user_id,
        category,
        row_number() over (partition by cut_date, user_id order by weight_decayed desc, category) as place
    from categories
    where category is not null and weight_decayed > 0

),

all_time as (

    select
        cut_at,
        cut_date,
        user_id,
        sum(num_events) as num_events,
        sum(num_purchases) as num_purchases,
        sum(num_priced_purchases) as num_priced_purchases,
        sum(sum_of_prices) as sum_of_prices,
        min(first_occurred_at) as first_occurred_at,
        max(last_occurred_at) as last_occurred_at
    from categories
    group by cut_at, cut_date, user_id

),

first_meetings as (

    select
        user_id,
        item_id,
        min(known_date) as known_date,
        min(case when num_purchases > 0 then known_date end) as bought_known_date
    from days
    group by user_id, item_id

),

items_met as (

    select
        cuts.cut_date,
        first_meetings.user_id,
        count(*) as num_items,
        {{ count_if('first_meetings.bought_known_date < cuts.cut_date') }} as num_items_bought
    from first_meetings
    inner join cuts on first_meetings.known_date < cuts.cut_date
    group by cuts.cut_date, first_meetings.user_id

),

baskets as (

    select
        user_id,
        coalesce(basket_id, cast(event_date as {{ dbt.type_string() }})) as basket_id,
        min(cast(known_at as date)) as known_date
    from purchases
    group by 1, 2

),

orders as (

    select cuts.cut_date, baskets.user_id, count(*) as num_orders
    from baskets
    inner join cuts on baskets.known_date < cuts.cut_date
    group by cuts.cut_date, baskets.user_id

),

last_30_days as (

    select
        cuts.cut_date,
        days.user_id,
        sum(days.num_purchases) as num_purchases,
        sum(days.num_views) as num_views,
        sum(days.num_cart_adds) as num_cart_adds
    from days
    inner join cuts
        on days.known_date < cuts.cut_date
        and days.event_date >= {{ add_days('cuts.cut_date', -30) }}
    group by cuts.cut_date, days.user_id

),

final as (

    {% set double = type_double() -%}
    select
        all_time.cut_at,
        all_time.user_id,
        cast(all_time.num_events as {{ double }}) as events_all,
        cast(coalesce(last_30_days.num_purchases, 0) as {{ double }}) as purchases_30d,
        cast(all_time.num_purchases as {{ double }}) as purchases_all,
        cast(coalesce(last_30_days.num_views, 0) as {{ double }}) as views_30d,
        cast(coalesce(last_30_days.num_cart_adds, 0) as {{ double }}) as cart_adds_30d,
        cast(coalesce(orders.num_orders, 0) as {{ double }}) as orders_all,
        cast(items_met.num_items as {{ double }}) as distinct_items,
        -- All purchases of an item but the first one.
        cast(
            {{ ratio('(all_time.num_purchases - items_met.num_items_bought)', 'all_time.num_purchases') }} as {{ double }}
        ) as repeat_share,
        cast(
            {{ ratio('last_30_days.num_purchases', '(last_30_days.num_views + last_30_days.num_purchases)') }} as {{ double }}
        ) as conversion_30d,
        cast(
            round(all_time.sum_of_prices / nullif(all_time.num_priced_purchases, 0), 6) as {{ double }}
        ) as mean_price,
        cast({{ days_since('all_time.first_occurred_at', 'all_time.cut_at') }} as {{ double }}) as days_since_first_event,
        cast({{ days_since('all_time.last_occurred_at', 'all_time.cut_at') }} as {{ double }}) as days_since_last_event,
        categories_placed.category as favourite_category
    from all_time
    inner join items_met
        on all_time.cut_date = items_met.cut_date
        and all_time.user_id = items_met.user_id
    left join orders
        on all_time.cut_date = orders.cut_date
        and all_time.user_id = orders.user_id
    left join last_30_days
        on all_time.cut_date = last_30_days.cut_date
        and all_time.user_id = last_30_days.user_id
    left join categories_placed
        on all_time.cut_date = categories_placed.cut_date
        and all_time.user_id = categories_placed.user_id
        and categories_placed.place = 1

)

select * from final
