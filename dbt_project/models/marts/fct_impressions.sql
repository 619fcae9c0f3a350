{{ config(**daily_table('landed_on', static=true)) }}

with impressions as (

    select * from {{ ref('stg_shop__impressions') }}
    where {{ landed_in_window() }}

),

-- The log delivers at least once: what it repeats, it repeats word for word and within the late window.
final as (

    select
        request_id,
        user_id,
        item_id,
        position,
        shown_at,
        surface,
        bundle_version,
        propensity,
        source,
        min(landed_on) as landed_on
    from impressions
    group by request_id, user_id, item_id, position, shown_at, surface, bundle_version, propensity, source

)

select * from final
