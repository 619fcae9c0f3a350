{{ config(tags=['whole']) }}

with source as (

    select * from {{ source('shop', 'items') }}

),

final as (

    select
        {{ blank_to_null('item_id') }} as item_id,
        {{ single_spaced('title') }} as title,
        {{ single_spaced('category') }} as category,
        {{ single_spaced('sub_category') }} as sub_category,
        {{ single_spaced('brand') }} as brand,
        {{ blank_to_null('seller_id') }} as seller_id,
        {{ single_spaced('description') }} as description,
        {{ blank_to_null('image_url') }} as image_url,
        case when {{ dbt.safe_cast('price', type_double()) }} >= 0 then {{ dbt.safe_cast('price', type_double()) }} end as price,
        {{ dbt.safe_cast('created_at', dbt.type_timestamp()) }} as created_at,
        coalesce(is_active, true) as is_active,
        stock,
        {{ single_spaced('region') }} as region
    from source

)

select * from final
