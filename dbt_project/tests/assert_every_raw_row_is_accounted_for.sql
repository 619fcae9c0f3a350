{{ config(meta={'dagster': {'ref': {'name': 'fct_interactions'}}}) }}

-- Of every landed day of this run, as many rows were judged as came; every accepted row is a fact, every other one is kept as rejected.

with landed as (

    select landed_on, count(*) as num_rows
    from {{ ref('stg_shop__interactions') }}
    where {{ landed_in_window() }}
    group by landed_on

),

judged as (

    select landed_on, count(*) as num_rows
    from {{ ref('int_interactions_judged') }}
    where {{ landed_in_window() }}
    group by landed_on

),

verdicts as (

    select {{ count_if('reason is null') }} as num_accepted, {{ count_if('reason is not null') }} as num_rejected
    from {{ ref('int_interactions_judged') }}

),

kept as (

    select
        (select count(*) from {{ ref('fct_interactions') }}) as num_facts,
        (select count(*) from {{ ref('int_interactions_rejected') }}) as num_rejected

)

select
    'judged' as place,
    coalesce(landed.num_rows, 0) as num_expected,
    coalesce(judged.num_rows, 0) as num_found
from landed
full outer join judged on landed.landed_on = judged.landed_on
where coalesce(landed.num_rows, 0) <> coalesce(judged.num_rows, 0)

union all

select 'fct_interactions' as place, coalesce(verdicts.num_accepted, 0) as num_expected, kept.num_facts as num_found
from verdicts
cross join kept
where coalesce(verdicts.num_accepted, 0) <> kept.num_facts

union all

select 'int_interactions_rejected' as place, coalesce(verdicts.num_rejected, 0) as num_expected, kept.num_rejected as num_found
from verdicts
cross join kept
where coalesce(verdicts.num_rejected, 0) <> kept.num_rejected
