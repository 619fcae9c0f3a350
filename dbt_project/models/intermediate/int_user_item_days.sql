{{ config(**daily_table()) }}

with interactions as (

    select * from {{ ref('fct_interactions') }}
    where {{ landed_in_window() }}

),

final as (

    select
        user_id,
        item_id,
        event_date,
        cast(known_at as date) as known_date,
        landed_on,
        count(*) as num_events,
        {{ count_if("event_type = 'purchase'") }} as num_purchases,
        {{ count_if("event_type = 'view'") }} as num_views,
        {{ count_if("event_type = 'cart_add'") }} as num_cart_adds,
        {{ count_if("event_type = 'return'") }} as num_returns,
        {{ count_if("event_type = 'purchase' and price is not null") }} as num_priced_purchases,
        coalesce(sum(case when event_type = 'purchase' then price end), 0) as sum_of_prices,
        -- Faded to the end of its day, from where any later instant is one factor away: exact to the second, summed by day.
        sum(event_weight * {{ decay(days_since('occurred_at', midnight_after('event_date'))) }}) as weight_at_day_end,
        min(occurred_at) as first_occurred_at,
        max(occurred_at) as last_occurred_at,
        max(case when event_type = 'purchase' then occurred_at end) as last_purchased_at
    from interactions
    group by user_id, item_id, event_date, known_date, landed_on

)

select * from final
