-- One row: one person in one workspace, as of the last whole day: windows of 7
-- and 28 days, the trend against the 28 days before, how much of the product is
-- used, and the workspace's plan and seats.
with aged as (
    -- Age 1 is the last whole day.
    select
        email,
        workspace_id,
        feature,
        day,
        events,
        cast(cast($run_started_at as date) as int) - cast(day as int) as age
    from usage_daily
),

features as (
    select
        email,
        workspace_id,
        feature,
        min(day) as first_active_on,
        max(day) as last_active_on,
        sum(events) as events,
        sum(case when age <= 7 then events else 0 end) as events_7,
        sum(case when age <= 28 then events else 0 end) as events_28,
        sum(case when age between 29 and 56 then events else 0 end) as events_28_before,
        -- A bit for each of the last 28 days: days of several features, workspaces or
        -- addresses are put together without counting one twice.
        bit_or(case when age <= 28 then 1 << (age - 1) else 0 end) as days
    from aged
    group by email, workspace_id, feature
),

people as (
    select
        email,
        workspace_id,
        min(first_active_on) as first_active_on,
        max(last_active_on) as last_active_on,
        bit_or(days) as active_days,
        sum(events_7) as events_7,
        sum(events_28) as events_28,
        sum(events_28_before) as events_28_before,
        count(*) as features,
        sum(case when events_28 > 0 then 1 else 0 end) as features_28,
        first_value(feature order by events desc, feature) as favourite_feature
    from features
    group by email, workspace_id
)

select
    people.email,
    people.workspace_id,
    people.first_active_on,
    people.last_active_on,
    people.active_days,
    bit_count(people.active_days & 127) as active_days_7,
    bit_count(people.active_days) as active_days_28,
    people.events_7,
    people.events_28,
    people.events_28_before,
    case
        when people.events_28 = 0 then 'gone'
        when people.events_28_before = 0 then 'new'
        when people.events_28 >= 1.25 * people.events_28_before then 'rising'
        when people.events_28 <= 0.75 * people.events_28_before then 'falling'
        else 'steady'
    end as trend,
    people.features,
    people.features_28,
    people.favourite_feature,
    people.features >= $activated_from_features as activated,
    workspaces.plan,
    workspaces.seats
from people
left join stg_workspaces as workspaces on people.workspace_id = workspaces.workspace_id
