{#- Keyed hash of a user id; ml/features/pseudonym.py says the same. A blank id is no id; others keep their blanks, they are part
    of the id. `pseudonym:` and 32 hexadecimal digits come from the service's own log, which holds nothing else: they are taken as
    they are. Whatever else begins so is a shop's own id, and is hashed like any other.
    The key stands in the compiled SQL: what dbt writes is to be kept as the key is. -#}
{% macro pseudonym(column) -%}
    {%- set key = env_var('AISLE_PSEUDONYM_KEY', 'development-key-not-for-production') -%}
    {%- if '\\' in key -%}
        {{ exceptions.raise_compiler_error("AISLE_PSEUDONYM_KEY must hold no backslash: SQL engines read it in two ways. Choose another key.") }}
    {%- endif -%}
    case
            when starts_with({{ column }}, 'pseudonym:') and length({{ column }}) = 42
                and translate(substr({{ column }}, 11), '0123456789abcdef', '') = ''
                then substr({{ column }}, 11)
            else substr({{ sha256_hex("'" ~ dbt.escape_single_quotes(key) ~ ":' || case when trim(" ~ column ~ ") <> '' then " ~ column ~ " end") }}, 1, 32)
        end
{%- endmacro %}
