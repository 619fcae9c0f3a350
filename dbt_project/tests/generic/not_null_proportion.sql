{% test not_null_proportion(model, column_name, at_least) %}

select count({{ column_name }}) as num_known, count(*) as num_rows
from {{ model }}
having count({{ column_name }}) < {{ at_least }} * count(*)

{% endtest %}
