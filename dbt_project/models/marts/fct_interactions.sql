{{ config(**daily_table(cluster_by=['event_date', 'user_id'])) }}

with judged as (

    select * from {{ ref('int_interactions_judged') }}
    where reason is null and {{ landed_in_window() }}

),

final as (

    select
        event_key as event_id,
        user_id,
        item_id,
        event_type,
        occurred_at,
        known_at,
        quantity,
        price,
        -- A purchase of an unsaid quantity is of one piece.
        case
            when event_type = 'purchase' and coalesce(quantity, 1) > 0 and price >= 0 then coalesce(quantity, 1) * price
        end as amount,
        -- The user is part of it: shops count their orders from 1 in every branch.
        case
            when order_id is not null then user_id || ':order:' || order_id
            when session_id is not null then user_id || ':session:' || session_id
        end as basket_id,
        cast({{ event_weight('event_type') }} as {{ type_double() }}) as event_weight,
        event_date,
        landed_on
    from judged

)

select * from final
