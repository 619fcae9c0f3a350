{{ config(meta={'dagster': {'ref': {'name': 'fct_interactions'}}}) }}

-- Of every landed day of this run, as many rows were judged as came; every accepted row is a fact, every other one is kept as rejected.

with landed as (

    select landed_on, count(*) as num_rows
    from {{ ref('stg_shop__interactions') }}
    where {{ landed_in_window() }}
    group by landed_on

),

verdicts as (

    select landed_on, count(*) as num_rows, {{ count_if('reason is null') }} as num_accepted
    from {{ ref('int_interactions_judged') }}
    where {{ landed_in_window() }}
    group by landed_on

),

facts as (

    select landed_on, count(*) as num_rows
    from {{ ref('fct_interactions') }}
    where {{ landed_in_window() }}
    group by landed_on

),

rejected as (

    select landed_on, count(*) as num_rows
    from {{ ref('int_interactions_rejected') }}
    where {{ landed_in_window() }}
    group by landed_on

),

days as (

    select landed_on from landed
    union distinct
    select landed_on from verdicts
    union distinct
    select landed_on from facts
    union distinct
    select landed_on from rejected

),

final as (

    select
        days.landed_on,
        coalesce(landed.num_rows, 0) as num_landed,
        coalesce(verdicts.num_rows, 0) as num_judged,
        coalesce(verdicts.num_accepted, 0) as num_accepted,
        coalesce(facts.num_rows, 0) as num_facts,
        coalesce(rejected.num_rows, 0) as num_rejected
    from days
    left join landed on days.landed_on = landed.landed_on
    left join verdicts on days.landed_on = verdicts.landed_on
    left join facts on days.landed_on = facts.landed_on
    left join rejected on days.landed_on = rejected.landed_on

)

select * from final
where num_landed <> num_judged or num_accepted <> num_facts or num_judged <> num_facts + num_rejected
