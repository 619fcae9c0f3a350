{{ config(**daily_table(cluster_by=['event_date'])) }}

/* What only the rows around a row can tell: bots, then duplicates. The verdict on a row depends on rows that landed on its day
   or before and on nothing later. So a day can be judged again, alone or in one go with others, and comes out the same.
   Of the days before the window, only the event keys are looked at all the way back. */
{% set oldest = oldest_event_day(ref('int_interactions_checked')) if is_incremental() and first_landed_day() is not none else none %}

with checked as (

    select * from {{ ref('int_interactions_checked') }}
    where {{ landed_in_window() }}

),

user_days as (

    select user_id, event_date, landed_on, count(*) as num_events
    from checked
    where row_reason is null
    group by user_id, event_date, landed_on
    {% if is_incremental() %}
    union all

    select user_id, event_date, landed_on, count(*) as num_events
    from {{ this }}
    where
        {{ landed_before_window(since=oldest) }}
        and (reason is null or reason in ('bot', 'duplicate'))
        and event_date in (select event_date from checked)
    group by user_id, event_date, landed_on
    {% endif %}
),

user_days_so_far as (

    select
        user_id,
        event_date,
        landed_on,
        sum(num_events) over (
            partition by user_id, event_date order by landed_on rows between unbounded preceding and current row
        ) as num_events
    from user_days

),

bots as (

    select user_id, event_date, landed_on
    from user_days_so_far
    where num_events > {{ var('max_events_per_day') }}

),

bots_marked as (

    select
        checked.*,
        coalesce(checked.row_reason, case when bots.user_id is not null then 'bot' end) as reason_so_far
    from checked
    left join bots
        on checked.user_id = bots.user_id
        and checked.event_date = bots.event_date
        and checked.landed_on = bots.landed_on

),

candidates as (

    select * from bots_marked
    where reason_so_far is null

),

{% if is_incremental() -%}
ids_before as (

    select distinct event_key
    from {{ this }}
    where
        {{ landed_before_window() }}
        and (reason is null or reason = 'duplicate')
        and event_key in (select event_key from candidates)

),

keys_before as (

    select user_id, item_id, occurred_at, event_type
    from {{ this }}
    where
        {{ landed_before_window(since=oldest) }}
        and reason is null
        and event_date in (select event_date from candidates)

),

{% endif -%}

repeated_ids as (

    select event_key
    from candidates
    group by event_key
    having count(*) > 1

),

repeated_keys as (

    select user_id, item_id, occurred_at, event_type
    from candidates
    group by user_id, item_id, occurred_at, event_type
    having count(*) > 1

),

-- Counting is ten times cheaper than placing, and nearly all rows are alone with their id and key.
suspects_marked as (

    select
        candidates.*,
        repeated_ids.event_key is not null or repeated_keys.user_id is not null as is_suspect,
        {% if is_incremental() -%}
        ids_before.event_key is not null as id_was_there,
        keys_before.user_id is not null as key_was_there
        {%- else -%}
        false as id_was_there,
        false as key_was_there
        {%- endif %}
    from candidates
    left join repeated_ids on candidates.event_key = repeated_ids.event_key
    left join repeated_keys
        on candidates.user_id = repeated_keys.user_id
        and candidates.item_id = repeated_keys.item_id
        and candidates.occurred_at = repeated_keys.occurred_at
        and candidates.event_type = repeated_keys.event_type
    {% if is_incremental() -%}
    left join ids_before on candidates.event_key = ids_before.event_key
    left join keys_before
        on candidates.user_id = keys_before.user_id
        and candidates.item_id = keys_before.item_id
        and candidates.occurred_at = keys_before.occurred_at
        and candidates.event_type = keys_before.event_type
    {%- endif %}

),

-- What carries the id of an earlier event is a repetition of it, whatever else it says: it takes nobody's key.
ids_placed as (

    select
        *,
        id_was_there or row_number() over (
            partition by event_key
            order by landed_on, known_at, source_row, coalesce(quantity, 0), coalesce(price, 0)
        ) > 1 as repeats_id
    from suspects_marked
    where is_suspect

),

keys_placed as (

    select
        *,
        key_was_there or row_number() over (
            partition by repeats_id, user_id, item_id, occurred_at, event_type
            order by landed_on, known_at, source_row, coalesce(quantity, 0), coalesce(price, 0), event_key
        ) > 1 as repeats_key
    from ids_placed

),

judged as (

    {% set columns -%}
        user_id, item_id, event_type, occurred_at, event_id, quantity, price, order_id, session_id, request_id, received_at,
        excluded_because, source_row, landed_on, event_date, known_at, event_key
    {%- endset -%}
    select
        {{ columns }},
        case when repeats_id or repeats_key then 'duplicate' end as reason
    from keys_placed

    union all

    select
        {{ columns }},
        case when id_was_there or key_was_there then 'duplicate' end as reason
    from suspects_marked
    where not is_suspect

    union all

    select
        {{ columns }},
        reason_so_far as reason
    from bots_marked
    where reason_so_far is not null

),

final as (

    select
        *,
        case when excluded_because is not null then 'out_of_scope' when reason is not null then 'dirty' end as kind
    from judged

)

select * from final
