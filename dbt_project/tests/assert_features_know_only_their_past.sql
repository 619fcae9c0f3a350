{{ config(meta={'dagster': {'ref': {'name': 'feat_users'}}}) }}

/* Features of the oldest and the newest cut, computed again straight from the facts with nothing but rows that had happened and
   were known before the cut. A value that differs, a row too many or too few is a leak or a loss. */

with facts as (

    select * from {{ ref('fct_interactions') }}

),

cuts as (

    select min(cut_at) as cut_at from {{ ref('int_feature_cuts') }}
    union distinct
    select max(cut_at) as cut_at from {{ ref('int_feature_cuts') }}

),

visible as (

    select
        facts.*,
        cuts.cut_at,
        {{ days_since('facts.occurred_at', 'cuts.cut_at') }} as age_days
    from facts
    inner join cuts
        on facts.occurred_at < cuts.cut_at
        and facts.known_at < cuts.cut_at

),

items_expected as (

    select
        cut_at,
        item_id,
        {{ count_if("event_type = 'purchase' and age_days <= 7") }} as purchases_7d,
        {{ count_if("event_type = 'purchase' and age_days <= 30") }} as purchases_30d,
        {{ count_if("event_type = 'purchase'") }} as purchases_all,
        {{ count_if("event_type = 'view' and age_days <= 30") }} as views_30d,
        {{ count_if("event_type = 'return'") }} as returns_all,
        count(distinct case when event_type = 'purchase' then user_id end) as buyers_all,
        sum(event_weight * {{ decay('age_days') }}) as weight_decayed,
        max(age_days) as days_since_first_event
    from visible
    group by cut_at, item_id

),

items_found as (

    select feat_items.* from {{ ref('feat_items') }} as feat_items
    inner join cuts on feat_items.cut_at = cuts.cut_at

),

users_expected as (

    select
        cut_at,
        user_id,
        count(*) as events_all,
        {{ count_if("event_type = 'purchase' and age_days <= 30") }} as purchases_30d,
        {{ count_if("event_type = 'purchase'") }} as purchases_all,
        {{ count_if("event_type = 'cart_add' and age_days <= 30") }} as cart_adds_30d,
        count(distinct item_id) as distinct_items,
        min(age_days) as days_since_last_event
    from visible
    group by cut_at, user_id

),

users_found as (

    select feat_users.* from {{ ref('feat_users') }} as feat_users
    inner join cuts on feat_users.cut_at = cuts.cut_at

)

select
    'item' as kind,
    coalesce(expected.item_id, found.item_id) as id,
    coalesce(expected.cut_at, found.cut_at) as cut_at
from items_expected as expected
full outer join items_found as found
    on expected.cut_at = found.cut_at
    and expected.item_id = found.item_id
where not coalesce(
    expected.purchases_7d = found.purchases_7d
    and expected.purchases_30d = found.purchases_30d
    and expected.purchases_all = found.purchases_all
    and expected.views_30d = found.views_30d
    and expected.returns_all = found.returns_all
    and expected.buyers_all = found.buyers_all
    and abs(expected.weight_decayed - found.weight_decayed) <= 0.00001 * (1 + abs(expected.weight_decayed))
    and abs(expected.days_since_first_event - found.days_since_first_event) <= 0.000001,
    false
)

union all

select
    'user' as kind,
    coalesce(expected.user_id, found.user_id) as id,
    coalesce(expected.cut_at, found.cut_at) as cut_at
from users_expected as expected
full outer join users_found as found
    on expected.cut_at = found.cut_at
    and expected.user_id = found.user_id
where not coalesce(
    expected.events_all = found.events_all
    and expected.purchases_30d = found.purchases_30d
    and expected.purchases_all = found.purchases_all
    and expected.cart_adds_30d = found.cart_adds_30d
    and expected.distinct_items = found.distinct_items
    and abs(expected.days_since_last_event - found.days_since_last_event) <= 0.000001,
    false
)
