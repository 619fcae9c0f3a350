{{ config(tags=['whole']) }}

with given as (

    select * from {{ source('shop', 'item_embeddings') }}

),

encoded_texts as (

    select * from {{ source('shop', 'item_text_embeddings') }}

),

encoded_images as (

    select * from {{ source('shop', 'item_image_embeddings') }}

),

together as (

    select item_id, created_at, name, length, vector, cast(null as {{ dbt.type_string() }}) as reason
    from given

    union all

    select item_id, created_at, name, length, vector, cast(null as {{ dbt.type_string() }}) as reason
    from encoded_texts

    union all

    select item_id, created_at, name, length, vector, reason
    from encoded_images

),

final as (

    select
        {{ blank_to_null('item_id') }} as item_id,
        created_at,
        name,
        length,
        vector,
        reason
    from together

)

select * from final
