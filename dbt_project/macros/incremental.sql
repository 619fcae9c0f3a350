{#- Which days a run reads and replaces. The two engines differ in how a day is replaced, not in which days. -#}

{#- Configuration of a table that is replaced day by day.
    static: the days are those of the run's landed window, known beforehand (on BigQuery: cheaper, nothing is scanned to find them). -#}
{% macro daily_table(day, static=false) %}
    {% set bigquery = target.type == 'bigquery' %}
    {% do return({
        'materialized': 'incremental',
        'incremental_strategy': 'insert_overwrite' if bigquery else 'delete+insert',
        'unique_key': none if bigquery else day,
        'partition_by': {'field': day, 'data_type': 'date'} if bigquery else none,
        'partitions': landed_days() if bigquery and static else none,
        'on_schema_change': 'fail',
        'tags': ['daily'],
    }) %}
{% endmacro %}

{#- First landed day this run reads, late window included; none when it reads everything. -#}
{% macro first_landed_day() %}
    {% if not var('start_date') %}{% do return(none) %}{% endif %}
    {% set start = modules.datetime.date.fromisoformat(var('start_date') | string) %}
    {% do return(start - modules.datetime.timedelta(days=var('late_arrival_days') | int)) %}
{% endmacro %}

{% macro last_landed_day() %}
    {% if not var('end_date') %}{% do return(none) %}{% endif %}
    {% do return(modules.datetime.date.fromisoformat(var('end_date') | string)) %}
{% endmacro %}

{% macro landed_days() %}
    {% set first, last = first_landed_day(), last_landed_day() %}
    {% if first is none or last is none %}{% do return(none) %}{% endif %}
    {% set days = [] %}
    {% for offset in range((last - first).days + 1) %}
        {% do days.append("date '" ~ (first + modules.datetime.timedelta(days=offset)) ~ "'") %}
    {% endfor %}
    {% do return(days) %}
{% endmacro %}

{#- Condition: the row landed in the window of this run. -#}
{% macro landed_in_window(landed_on='landed_on') -%}
    {%- set first, last = first_landed_day(), last_landed_day() -%}
    {{ landed_on ~ " >= date '" ~ first ~ "'" if first is not none else 'true' }}
    and {{ landed_on ~ " <= date '" ~ last ~ "'" if last is not none else 'true' }}
{%- endmacro %}

{#- Condition: the row landed before the window of this run. -#}
{% macro landed_before_window(landed_on='landed_on') -%}
    {%- set first = first_landed_day() -%}
    {{ landed_on ~ " < date '" ~ first ~ "'" if first is not none else 'false' }}
{%- endmacro %}

{#- Condition: the day on which something happened is one this run must write anew, however long ago it was. -#}
{% macro touched_in_window(event_date, judged) -%}
    {%- if is_incremental() and first_landed_day() is not none -%}
    {{ event_date }} in (select event_date from {{ judged }} where {{ landed_in_window() }} and event_date is not null)
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}
