{#- The newest day is no more than `days` before `as_of`; says nothing when `as_of` is not given. -#}
{% test recency(model, column_name, days) %}

{% if var('as_of') -%}
select max({{ column_name }}) as newest
from {{ model }}
having max({{ column_name }}) < {{ add_days("date '" ~ (var('as_of') | string)[:10] ~ "'", -days) }}
{%- else -%}
select {{ column_name }}
from {{ model }}
where false
{%- endif %}

{% endtest %}
