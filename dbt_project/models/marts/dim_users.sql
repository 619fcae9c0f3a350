{{ config(**whole_table(cluster_by=['user_id'])) }}

with users as (

    select * from {{ ref('stg_shop__users') }}
    where user_id is not null

),

days as (

    select * from {{ ref('int_user_item_days') }}

),

-- The earliest sign-up speaks for the user; among equals any rule does, so long as it is always the same.
placed as (

    select
        *,
        row_number() over (
            partition by user_id
            order by coalesce(signed_up_at, cast('9999-12-31' as {{ dbt.type_timestamp() }})), coalesce(country, '') desc,
            coalesce(segment, '') desc
        ) as place
    from users

),

known as (

    select * from placed
    where place = 1

),

seen as (

    select user_id, min(first_occurred_at) as first_seen_at
    from days
    group by user_id

),

final as (

    select
        coalesce(known.user_id, seen.user_id) as user_id,
        known.country,
        known.segment,
        known.signed_up_at,
        seen.first_seen_at
    from known
    full outer join seen on known.user_id = seen.user_id

)

select * from final
