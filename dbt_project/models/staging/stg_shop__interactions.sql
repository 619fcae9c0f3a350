{{ config(tags=['daily']) }}

with source as (

    select * from {{ source('shop', 'interactions') }}

),

final as (

    select
        {{ pseudonym('user_id') }} as user_id,
        {{ blank_to_null('item_id') }} as item_id,
        lower({{ blank_to_null('event_type') }}) as event_type,
        {{ dbt.safe_cast('occurred_at', dbt.type_timestamp()) }} as occurred_at,
        {{ blank_to_null('event_id') }} as event_id,
        {{ dbt.safe_cast('quantity', type_double()) }} as quantity,
        {{ dbt.safe_cast('price', type_double()) }} as price,
        {{ blank_to_null('order_id') }} as order_id,
        {{ blank_to_null('session_id') }} as session_id,
        {{ blank_to_null('request_id') }} as request_id,
        {{ dbt.safe_cast('received_at', dbt.type_timestamp()) }} as received_at,
        excluded_because,
        source_row,
        landed_on
    from source

)

select * from final
