{{ config(tags=['daily']) }}

-- Not `source`, as elsewhere: BigQuery would read the column of that name as the whole row.
with impressions as (

    select * from {{ source('shop', 'impressions') }}

),

final as (

    select
        {{ blank_to_null('request_id') }} as request_id,
        {{ pseudonym('user_id') }} as user_id,
        {{ blank_to_null('item_id') }} as item_id,
        position,
        {{ dbt.safe_cast('shown_at', dbt.type_timestamp()) }} as shown_at,
        surface,
        bundle_version,
        {{ dbt.safe_cast('propensity', type_double()) }} as propensity,
        source,
        landed_on
    from impressions

)

select * from final
