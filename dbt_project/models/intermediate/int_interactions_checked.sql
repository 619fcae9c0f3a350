{{ config(materialized='view', tags=['daily']) }}

with interactions as (

    select * from {{ ref('stg_shop__interactions') }}

),

dated as (

    select
        *,
        cast(occurred_at as date) as event_date,
        case when received_at > occurred_at then received_at else occurred_at end as known_at,
        -- The item id stands last: nothing else in the text can hold the bar between its parts.
        coalesce(
            event_id,
            {{ dbt.hash("user_id || '|' || event_type || '|' || cast(" ~ epoch_micros('occurred_at') ~ " as " ~ dbt.type_string() ~ ") || '|' || item_id") }}
        ) as event_key
    from interactions

),

final as (

    select
        *,
        -- Asked of the moment the row arrived, not of today: a row once accepted does not become wrong by growing old.
        case
            when excluded_because is not null then excluded_because
            when user_id is null then 'missing_user_id'
            when item_id is null then 'missing_item_id'
            when occurred_at is null then 'missing_occurred_at'
            when event_type is null or event_type not in ({{ known_event_types() }}) then 'unknown_event_type'
            when occurred_at > received_at or event_date > landed_on then 'from_the_future'
            {%- if var('as_of') %}
            when occurred_at >= cast('{{ var('as_of') }}' as {{ dbt.type_timestamp() }}) then 'from_the_future'
            {%- endif %}
            when event_date < {{ add_days('landed_on', -(var('max_age_days') | int)) }} then 'too_old'
        end as row_reason
    from dated

)

select * from final
