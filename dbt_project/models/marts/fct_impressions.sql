{{ config(**daily_table(cluster_by=['item_id'])) }}

{% set columns = ['request_id', 'user_id', 'item_id', 'position', 'shown_at', 'surface', 'bundle_version', 'propensity', 'source'] | join(', ') %}
with impressions as (

    select {{ columns }}, landed_on
    from {{ ref('stg_shop__impressions') }}
    where {{ landed_in_window() }}
    {% if is_incremental() and first_landed_day() is not none %}
    union all

    select {{ columns }}, landed_on
    from {{ this }}
    where {{ landed_before_window(since=first_landed_day() - modules.datetime.timedelta(days=var('late_arrival_days') | int)) }}
    {% endif %}
),

-- The log delivers at least once: what it repeats, it repeats word for word and no more than the late window later.
told_once as (

    select {{ columns }}, min(landed_on) as landed_on
    from impressions
    group by {{ columns }}

),

final as (

    select * from told_once
    where {{ landed_in_window() }}

)

select * from final
