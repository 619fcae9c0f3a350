{#- Interest shown by one event. -#}
{% macro event_weight(event_type) -%}
    case {{ event_type }}
    {%- for name, weight in var('event_weights').items() %}
        when '{{ name }}' then {{ weight }}
    {%- endfor %}
    end
{%- endmacro %}

{% macro known_event_types() -%}
    '{{ var('event_weights').keys() | join("', '") }}'
{%- endmacro %}

{#- The factor by which weight has faded after so many days. -#}
{% macro decay(days) -%}
    exp(-({{ days }}) / {{ var('decay_days') }}.0)
{%- endmacro %}
