{#- Which days a run reads and replaces. The two engines differ in how a day is replaced, not in which days.

    Every table of events is partitioned by the day its rows landed, and a row keeps that day on its way from raw to the marts. So the
    days a run must write are the days it was told, whenever the events happened: they stand in its SQL as literals, nothing is scanned
    to find them, and a day downstream is exactly the day upstream. Rows that changed, moved to another day of happening or are gone
    leave nothing behind. Partitions by the day of happening would have to be searched for, and what is gone cannot be found. -#}

{#- Configuration of a table that is replaced by landed day; without a window it is made anew. `cluster_by` is for BigQuery. -#}
{% macro daily_table(cluster_by=none) %}
    {% if target.type == 'bigquery' %}
        {% set days = landed_days() %}
        {% set replaced = {
            'incremental_strategy': 'insert_overwrite',
            'partition_by': {'field': 'landed_on', 'data_type': 'date'},
            'partitions': days,
            'full_refresh': true if days is none else none,
            'cluster_by': cluster_by,
        } %}
    {% else %}
        {#- Not delete+insert: that forgets only the days it has new rows for. -#}
        {% set replaced = {'incremental_strategy': 'append', 'pre_hook': '{{ forget_landed_days() }}'} %}
    {% endif %}
    {% do return(dict(replaced, materialized='incremental', on_schema_change='fail', tags=['daily'])) %}
{% endmacro %}

{#- Configuration of a table that is made anew each time. -#}
{% macro whole_table(cluster_by, partition_by=none) %}
    {% set stored = {'cluster_by': cluster_by, 'partition_by': partition_by} if target.type == 'bigquery' else {} %}
    {% do return(dict(stored, materialized='table', tags=['whole'])) %}
{% endmacro %}

{% macro forget_landed_days() %}
    {% if is_incremental() %}delete from {{ this }} where {{ landed_in_window() }}{% endif %}
{% endmacro %}

{#- First landed day this run reads, late window included; none when it reads everything. -#}
{% macro first_landed_day() %}
    {% if (var('start_date') is none) != (var('end_date') is none) %}
        {% do exceptions.raise_compiler_error(
            "`start_date` and `end_date` go together. Received: " ~ var('start_date') ~ " and " ~ var('end_date') ~ ". Give both, or neither for everything."
        ) %}
    {% endif %}
    {% if not var('start_date') %}{% do return(none) %}{% endif %}
    {% do return(date_of(var('start_date')) - modules.datetime.timedelta(days=var('late_arrival_days') | int)) %}
{% endmacro %}

{% macro last_landed_day() %}
    {% if not var('end_date') %}{% do return(none) %}{% endif %}
    {% do return(date_of(var('end_date'))) %}
{% endmacro %}

{% macro date_of(text) %}
    {% do return(modules.datetime.date.fromisoformat(text | string)) %}
{% endmacro %}

{#- The days of this run as SQL literals; none when it reads everything. -#}
{% macro landed_days() %}
    {% set first, last = first_landed_day(), last_landed_day() %}
    {% if first is none %}{% do return(none) %}{% endif %}
    {% set days = [] %}
    {% for offset in range((last - first).days + 1) %}
        {% do days.append("date '" ~ (first + modules.datetime.timedelta(days=offset)) ~ "'") %}
    {% endfor %}
    {% do return(days) %}
{% endmacro %}

{#- Condition: the row landed in the window of this run. -#}
{% macro landed_in_window(landed_on='landed_on') -%}
    {%- set first, last = first_landed_day(), last_landed_day() -%}
    {%- if first is none -%}
    true
    {%- else -%}
    {{ landed_on }} >= date '{{ first }}' and {{ landed_on }} <= date '{{ last }}'
    {%- endif -%}
{%- endmacro %}

{#- Condition: the row landed before the window of this run. `since` is a day that bounds it below, so that no older partition is read. -#}
{% macro landed_before_window(since=none) -%}
    {%- set first = first_landed_day() -%}
    {%- if first is none -%}
    false
    {%- else -%}
    {{ "landed_on >= date '" ~ since ~ "' and " if since is not none }}landed_on < date '{{ first }}'
    {%- endif -%}
{%- endmacro %}

{#- The oldest day on which something in this run's rows happened. What else happened on such a day cannot have landed before it, so
    a look back at the table itself ends there. Asked beforehand, of the run's own days: a literal prunes partitions, a subquery
    does not. -#}
{% macro oldest_event_day(checked) %}
    {% set found = run_query(
        "select min(event_date) from " ~ checked ~ " where row_reason is null and " ~ landed_in_window()
    ).columns[0].values()[0] %}
    {% do return(first_landed_day() if found is none else found) %}
{% endmacro %}
