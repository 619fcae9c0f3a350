{{ config(**whole_table(cluster_by=['item_id'], partition_by={'field': 'cut_at', 'data_type': 'timestamp', 'granularity': 'day'})) }}

with days as (

    select * from {{ ref('int_user_item_days') }}

),

cuts as (

    select * from {{ ref('int_feature_cuts') }}

),

/* A row counts from the first cut that knows it: one pass over the past however many cuts there are.
   Known before a cut implies happened before it, so `known_date` alone decides. */
new_at_cut as (

    select
        cuts.cut_date as since,
        days.item_id,
        sum(days.num_purchases) as num_purchases,
        sum(days.num_returns) as num_returns,
        sum(days.num_priced_purchases) as num_priced_purchases,
        sum(days.sum_of_prices) as sum_of_prices,
        sum(
            days.weight_at_day_end * {{ decay(days_between(add_days('days.event_date', 1), 'cuts.cut_date')) }}
        ) as weight_decayed,
        min(days.first_occurred_at) as first_occurred_at,
        max(days.last_purchased_at) as last_purchased_at
    from days
    inner join cuts
        on days.known_date < cuts.cut_date
        and days.known_date >= cuts.previous_cut_date
    group by cuts.cut_date, days.item_id

),

all_time as (

    select
        cuts.cut_at,
        cuts.cut_date,
        new_at_cut.item_id,
        sum(new_at_cut.num_purchases) as num_purchases,
        sum(new_at_cut.num_returns) as num_returns,
        sum(new_at_cut.num_priced_purchases) as num_priced_purchases,
        sum(new_at_cut.sum_of_prices) as sum_of_prices,
        sum(
            new_at_cut.weight_decayed * {{ decay(days_between('new_at_cut.since', 'cuts.cut_date')) }}
        ) as weight_decayed,
        min(new_at_cut.first_occurred_at) as first_occurred_at,
        max(new_at_cut.last_purchased_at) as last_purchased_at
    from new_at_cut
    inner join cuts on new_at_cut.since <= cuts.cut_date
    group by cuts.cut_at, cuts.cut_date, new_at_cut.item_id

),

first_purchases as (

    select user_id, item_id, min(known_date) as known_date
    from days
    where num_purchases > 0
    group by user_id, item_id

),

buyers as (

    select cuts.cut_date, first_purchases.item_id, count(*) as num_buyers
    from first_purchases
    inner join cuts on first_purchases.known_date < cuts.cut_date
    group by cuts.cut_date, first_purchases.item_id

),

last_30_days as (

    select
        cuts.cut_date,
        days.item_id,
        sum(days.num_purchases) as num_purchases,
        sum(
            case when days.event_date >= {{ add_days('cuts.cut_date', -7) }} then days.num_purchases else 0 end
        ) as num_purchases_7d,
        sum(days.num_views) as num_views,
        sum(days.num_cart_adds) as num_cart_adds,
        count(distinct case when days.num_purchases > 0 then days.user_id end) as num_buyers
    from days
    inner join cuts
        on days.known_date < cuts.cut_date
        and days.event_date >= {{ add_days('cuts.cut_date', -30) }}
    group by cuts.cut_date, days.item_id

),

final as (

    {% set double = type_double() -%}
    select
        all_time.cut_at,
        all_time.item_id,
        cast(coalesce(last_30_days.num_purchases_7d, 0) as {{ double }}) as purchases_7d,
        cast(coalesce(last_30_days.num_purchases, 0) as {{ double }}) as purchases_30d,
        cast(all_time.num_purchases as {{ double }}) as purchases_all,
        cast(coalesce(last_30_days.num_buyers, 0) as {{ double }}) as buyers_30d,
        cast(coalesce(buyers.num_buyers, 0) as {{ double }}) as buyers_all,
        cast(coalesce(last_30_days.num_views, 0) as {{ double }}) as views_30d,
        cast(coalesce(last_30_days.num_cart_adds, 0) as {{ double }}) as cart_adds_30d,
        cast(all_time.num_returns as {{ double }}) as returns_all,
        -- Rounded, so that the order in which an engine happens to add does not show.
        cast(round(all_time.weight_decayed, 6) as {{ double }}) as weight_decayed,
        cast(coalesce(last_30_days.num_purchases_7d, 0) / (all_time.num_purchases + 1) as {{ double }}) as trending,
        cast(
            {{ ratio('last_30_days.num_purchases', '(last_30_days.num_views + last_30_days.num_purchases)') }} as {{ double }}
        ) as conversion_30d,
        cast({{ days_since('all_time.first_occurred_at', 'all_time.cut_at') }} as {{ double }}) as days_since_first_event,
        cast({{ days_since('all_time.last_purchased_at', 'all_time.cut_at') }} as {{ double }}) as days_since_last_purchase,
        cast(
            round(all_time.sum_of_prices / nullif(all_time.num_priced_purchases, 0), 6) as {{ double }}
        ) as mean_price
    from all_time
    left join buyers
        on all_time.cut_date = buyers.cut_date
        and all_time.item_id = buyers.item_id
    left join last_30_days
        on all_time.cut_date = last_30_days.cut_date
        and all_time.item_id = last_30_days.item_id

)

select * from final
