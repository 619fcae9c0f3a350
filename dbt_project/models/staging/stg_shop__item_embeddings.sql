{{ config(tags=['whole']) }}

with given as (

    select * from {{ source('shop', 'item_embeddings') }}

),

encoded as (

    select * from {{ source('shop', 'item_text_embeddings') }}

),

together as (

    select item_id, created_at, name, length, vector
    from given

    union all

    select item_id, created_at, name, length, vector
    from encoded

),

final as (

    select
        {{ blank_to_null('item_id') }} as item_id,
        created_at,
        name,
        length,
        vector
    from together

)

select * from final
