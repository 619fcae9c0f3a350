{{ config(**whole_table(cluster_by=['item_id'])) }}

with items as (

    select * from {{ ref('stg_shop__items') }}
    where item_id is not null

),

days as (

    select * from {{ ref('int_user_item_days') }}

),

-- The youngest row speaks for the item; among equals any rule does, so long as it is always the same.
placed as (

    select
        *,
        row_number() over (
            partition by item_id
            order by coalesce(created_at, cast('1970-01-01' as {{ dbt.type_timestamp() }})) desc, coalesce(title, '') desc,
            coalesce(price, 0) desc, coalesce(category, ''), coalesce(description, '') desc
        ) as place
    from items

),

known as (

    select * from placed
    where place = 1

),

seen as (

    select item_id, min(first_occurred_at) as first_seen_at
    from days
    group by item_id

),

final as (

    select
        coalesce(known.item_id, seen.item_id) as item_id,
        known.title,
        known.category,
        known.sub_category,
        known.brand,
        known.seller_id,
        known.description,
        known.image_url,
        known.price,
        known.created_at,
        coalesce(known.is_active, true) as is_active,
        known.stock,
        known.region,
        seen.first_seen_at
    from known
    full outer join seen on known.item_id = seen.item_id

)

select * from final
