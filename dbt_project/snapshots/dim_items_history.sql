{% snapshot dim_items_history %}

{{ config(
    schema='marts',
    unique_key='item_id',
    strategy='check',
    check_cols=['title', 'category', 'price', 'is_active', 'in_stock'],
    hard_deletes='invalidate',
    cluster_by=['item_id'] if target.type == 'bigquery' else none,
    tags=['whole'],
) }}

-- Pieces in stock change with every sale: whether there are any is what a past day is asked.
select
    item_id,
    title,
    category,
    price,
    is_active,
    stock > 0 as in_stock
from {{ ref('dim_items') }}

{% endsnapshot %}
