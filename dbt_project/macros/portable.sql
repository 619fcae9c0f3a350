{#- What dbt's own cross-database macros do not say the same way on both engines. default__ is BigQuery. -#}

{#- dbt-duckdb has none of its own and would raise where BigQuery gives null. -#}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}

{#- 64 bits: dbt.type_float() has 32 on DuckDB. -#}
{% macro type_double() -%}{{ return(adapter.dispatch('type_double', 'aisle')()) }}{%- endmacro %}
{% macro default__type_double() -%}float64{%- endmacro %}
{% macro duckdb__type_double() -%}double{%- endmacro %}

{#- A date stays a date: dbt.dateadd would make it a timestamp. -#}
{% macro add_days(day, days) -%}{{ return(adapter.dispatch('add_days', 'aisle')(day, days)) }}{%- endmacro %}
{% macro default__add_days(day, days) -%}date_add({{ day }}, interval {{ days }} day){%- endmacro %}
{% macro duckdb__add_days(day, days) -%}({{ day }} + ({{ days }})){%- endmacro %}

{#- Whole days from one date to a later one. -#}
{% macro days_between(earlier, later) -%}{{ return(adapter.dispatch('days_between', 'aisle')(earlier, later)) }}{%- endmacro %}
{% macro default__days_between(earlier, later) -%}date_diff({{ later }}, {{ earlier }}, day){%- endmacro %}
{% macro duckdb__days_between(earlier, later) -%}date_diff('day', {{ earlier }}, {{ later }}){%- endmacro %}

{#- Microseconds since 1970-01-01 UTC. -#}
{% macro epoch_micros(instant) -%}{{ return(adapter.dispatch('epoch_micros', 'aisle')(instant)) }}{%- endmacro %}
{% macro default__epoch_micros(instant) -%}unix_micros({{ instant }}){%- endmacro %}
{% macro duckdb__epoch_micros(instant) -%}epoch_us({{ instant }}){%- endmacro %}

{% macro sha256_hex(text) -%}{{ return(adapter.dispatch('sha256_hex', 'aisle')(text)) }}{%- endmacro %}
{% macro default__sha256_hex(text) -%}to_hex(sha256({{ text }})){%- endmacro %}
{% macro duckdb__sha256_hex(text) -%}sha256({{ text }}){%- endmacro %}

{#- Days with their fraction from one instant to a later one. -#}
{% macro days_since(earlier, later) -%}
    (({{ epoch_micros(later) }} - {{ epoch_micros(earlier) }}) / 86400000000.0)
{%- endmacro %}

{% macro midnight_after(day) -%}
    cast({{ add_days(day, 1) }} as {{ dbt.type_timestamp() }})
{%- endmacro %}

{#- A share; 0 where there is nothing to share. -#}
{% macro ratio(part, whole) -%}
    coalesce({{ part }} / nullif({{ whole }}, 0), 0)
{%- endmacro %}

{% macro count_if(condition) -%}
    sum(case when {{ condition }} then 1 else 0 end)
{%- endmacro %}

{#- Ids and words as they are meant: no blanks around them, and none is null, not ''. -#}
{% macro blank_to_null(column) -%}
    nullif(trim({{ column }}), '')
{%- endmacro %}

{#- One blank between words, none around them. -#}
{% macro single_spaced(column) -%}{{ return(adapter.dispatch('single_spaced', 'aisle')(column)) }}{%- endmacro %}
{% macro default__single_spaced(column) -%}nullif(trim(regexp_replace({{ column }}, '[[:space:]]+', ' ')), ''){%- endmacro %}
{% macro duckdb__single_spaced(column) -%}nullif(trim(regexp_replace({{ column }}, '[[:space:]]+', ' ', 'g')), ''){%- endmacro %}

{#- Numbers in a list. -#}
{% macro array_length(list) -%}{{ return(adapter.dispatch('array_length', 'aisle')(list)) }}{%- endmacro %}
{% macro default__array_length(list) -%}array_length({{ list }}){%- endmacro %}
{% macro duckdb__array_length(list) -%}len({{ list }}){%- endmacro %}

{% macro first_of(list) -%}{{ return(adapter.dispatch('first_of', 'aisle')(list)) }}{%- endmacro %}
{% macro default__first_of(list) -%}{{ list }}[safe_offset(0)]{%- endmacro %}
{% macro duckdb__first_of(list) -%}{{ list }}[1]{%- endmacro %}

{#- Whether every number is there, and neither infinite nor undefined. -#}
{% macro all_finite(list) -%}{{ return(adapter.dispatch('all_finite', 'aisle')(list)) }}{%- endmacro %}
{% macro default__all_finite(list) -%}
    (select countif(number is null or is_nan(number) or is_inf(number)) = 0 from unnest({{ list }}) as number)
{%- endmacro %}
{% macro duckdb__all_finite(list) -%}
    len(list_filter({{ list }}, lambda number: number is null or not isfinite(number))) = 0
{%- endmacro %}
