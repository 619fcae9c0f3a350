{{ config(materialized='table', tags=['whole']) }}

-- depends_on: {{ ref('fct_interactions') }}
{#- Days are the grain of what features are summed from, so a cut inside a day would not be exact. -#}
{% for cut in var('cuts') if (cut | string)[10:] not in ('', ' 00:00:00', 'T00:00:00') %}
    {% do exceptions.raise_compiler_error("Every entry of `cuts` must be a midnight, YYYY-MM-DD[ 00:00:00]. Received: " ~ cut ~ ". Round it down to its day.") %}
{% endfor %}

with cuts as (

    {% for cut in var('cuts') | map('string') | map('truncate', 10, true, '', 0) | unique -%}
    select date '{{ cut }}' as cut_date
    {% if not loop.last %}union all
    {% endif %}
    {%- else -%}
    select {{ add_days('max(event_date)', 1) }} as cut_date
    from {{ ref('fct_interactions') }}
    having count(*) > 0
    {%- endfor %}

),

final as (

    select
        cast(cut_date as {{ dbt.type_timestamp() }}) as cut_at,
        cut_date,
        coalesce(lag(cut_date) over (order by cut_date), date '0001-01-01') as previous_cut_date
    from cuts

)

select * from final
