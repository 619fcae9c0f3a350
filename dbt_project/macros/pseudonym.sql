{#- Keyed hash of a user id; ml/features/pseudonym.py says the same. A blank id is no id; others keep their blanks, they are part of the id. -#}
{% macro pseudonym(column) -%}
    substr({{ sha256_hex("'" ~ env_var('AISLE_PSEUDONYM_KEY', 'development-key-not-for-production') | replace("'", "''") ~ ":' || case when trim(" ~ column ~ ") <> '' then " ~ column ~ " end") }}, 1, 32)
{%- endmacro %}
