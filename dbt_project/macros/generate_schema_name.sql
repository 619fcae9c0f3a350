{#- A model's schema is the one it names, in every target: raw, staging, intermediate and marts are part of the contract. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
