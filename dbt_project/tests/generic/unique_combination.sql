{% test unique_combination(model, columns) %}

select {{ columns | join(', ') }}, count(*) as num_rows
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
