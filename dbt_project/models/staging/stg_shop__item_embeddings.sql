{{ config(tags=['whole']) }}

with source as (

    select * from {{ source('shop', 'item_embeddings') }}

),

final as (

    select
        {{ blank_to_null('item_id') }} as item_id,
        created_at,
        name,
        length,
        vector
    from source

)

select * from final
