-- One row: a company's domain that owns workspaces, and the use of them all.
-- People are told apart by the address the product knows them by.
with people as (
    select
        workspaces.domain,
        usage_current.email,
        max(usage_current.active_days_28) as active_days_28,
        max(usage_current.last_active_on) as last_active_on,
        sum(usage_current.events_28) as events_28,
        sum(usage_current.events_28_before) as events_28_before
    from usage_current
    inner join stg_workspaces as workspaces on usage_current.workspace_id = workspaces.workspace_id
    where workspaces.domain is not null
    group by workspaces.domain, usage_current.email
),

activity as (
    select
        domain,
        max(last_active_on) as last_active_on,
        sum(case when active_days_28 > 0 then 1 else 0 end) as active_people_28,
        sum(events_28) as events_28,
        sum(events_28_before) as events_28_before
    from people
    group by domain
),

owned as (
    select
        domain,
        count(*) as workspaces,
        sum(seats) as seats,
        -- Of several workspaces, the highest plan is the company's.
        first_value(plan order by plan_rank desc nulls last, workspace_id) as plan
    from stg_workspaces
    where domain is not null
    group by domain
)

select
    owned.domain,
    owned.plan,
    owned.workspaces,
    owned.seats,
    coalesce(activity.active_people_28, 0) as active_people_28,
    coalesce(activity.events_28, 0) as events_28,
    coalesce(activity.events_28_before, 0) as events_28_before,
    activity.last_active_on
from owned
left join activity on owned.domain = activity.domain
