{{ config(**daily_table()) }}

with judged as (

    select * from {{ ref('int_interactions_judged') }}
    where {{ landed_in_window() }}

),

final as (

    select
        user_id,
        item_id,
        event_type,
        occurred_at,
        event_id,
        quantity,
        price,
        order_id,
        session_id,
        request_id,
        received_at,
        excluded_because,
        source_row,
        landed_on,
        reason,
        kind
    from judged
    where reason is not null

)

select * from final
