{{ config(**whole_table(cluster_by=['item_id'])) }}

with embeddings as (

    select * from {{ ref('stg_shop__item_embeddings') }}

),

checked as (

    select
        *,
        case
            when item_id is null then 'missing_item_id'
            when reason is not null then reason
            when {{ array_length('vector') }} <> length then 'wrong_length'
            when not {{ all_finite('vector') }} then 'not_finite'
        end as row_reason
    from embeddings

),

-- As for dim_items the youngest row speaks for the item; among equals any rule does, so long as it is always the same.
placed as (

    select
        *,
        row_number() over (
            partition by item_id, name, row_reason
            order by coalesce(created_at, cast('1970-01-01' as {{ dbt.type_timestamp() }})) desc, {{ first_of('vector') }} desc
        ) as place
    from checked

),

final as (

    select
        item_id,
        created_at,
        name,
        length,
        vector,
        coalesce(row_reason, case when place > 1 then 'duplicate' end) as reason
    from placed

)

select * from final
