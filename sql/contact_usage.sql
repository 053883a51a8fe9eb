-- One row: the product usage of one live contact who has ever been active.
with daily as (
    select contact_emails.contact_id, usage_daily.*
    from usage_daily
    inner join contact_emails on usage_daily.email = contact_emails.email
),

-- The feature and the workspace used most come first; names settle a draw.
features as (
    select
        contact_id,
        feature,
        row_number() over (partition by contact_id order by sum(events) desc, feature) as place
    from daily
    group by contact_id, feature
),

workspaces as (
    select
        contact_id,
        workspace_id,
        row_number() over (
            partition by contact_id order by max(day) desc, sum(events) desc, workspace_id
        ) as place
    from daily
    group by contact_id, workspace_id
),

activity as (
    select
        contact_id,
        min(day) as first_active_on,
        max(day) as last_active_on,
        count(distinct case when day >= cast($run_started_at as date) - interval '28 days' then day end)
            as active_days_28,
        coalesce(sum(case when day >= cast($run_started_at as date) - interval '28 days' then events end), 0)
            as events_28
    from daily
    group by contact_id
)

select
    activity.contact_id,
    workspaces.workspace_id,
    activity.first_active_on,
    activity.last_active_on,
    activity.active_days_28,
    activity.events_28,
    features.feature as favourite_feature
from activity
inner join features on activity.contact_id = features.contact_id and features.place = 1
inner join workspaces on activity.contact_id = workspaces.contact_id and workspaces.place = 1
