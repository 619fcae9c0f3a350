{{ config(**whole_table(cluster_by=['item_id'])) }}

with judged as (

    select * from {{ ref('int_item_embeddings_judged') }}

),

final as (

    select item_id, name, vector
    from judged
    where reason is null

)

select * from final
