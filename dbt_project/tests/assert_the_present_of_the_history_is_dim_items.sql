{{ config(meta={'dagster': {'ref': {'name': 'dim_items_history'}}}) }}

-- Every item has one version that is so now, and it says what dim_items says.

with present as (

    select * from {{ ref('dim_items_history') }}
    where dbt_valid_to is null

),

items as (

    select *, stock > 0 as in_stock
    from {{ ref('dim_items') }}

)

select
    coalesce(items.item_id, present.item_id) as item_id,
    items.price as price_now,
    present.price as price_kept
from items
full outer join present on items.item_id = present.item_id
where
    items.item_id is null
    or present.item_id is null
    {% for column in ['title', 'category', 'price', 'is_active', 'in_stock'] -%}
    or not (coalesce(items.{{ column }} = present.{{ column }}, items.{{ column }} is null and present.{{ column }} is null))
    {% endfor %}
