{{ config(meta={'dagster': {'ref': {'name': 'int_user_item_days'}}}) }}

-- Every event stands on the day it happened and becomes known on the day it became known, no earlier: summed again from the facts.

with facts as (

    select cast(occurred_at as date) as event_date, cast(known_at as date) as known_date, count(*) as num_events
    from {{ ref('fct_interactions') }}
    where {{ landed_in_window() }}
    group by 1, 2

),

days as (

    select event_date, known_date, sum(num_events) as num_events
    from {{ ref('int_user_item_days') }}
    where {{ landed_in_window() }}
    group by event_date, known_date

)

select
    coalesce(facts.event_date, days.event_date) as event_date,
    coalesce(facts.known_date, days.known_date) as known_date,
    facts.num_events as num_facts,
    days.num_events as num_summed
from facts
full outer join days
    on facts.event_date = days.event_date
    and facts.known_date = days.known_date
where coalesce(facts.num_events, 0) <> coalesce(days.num_events, 0)
