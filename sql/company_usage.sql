-- One row: the product usage of one live company that owns a workspace, found
-- by its domain.
with workspaces as (
    select
        lower(trim(domain)) as domain,
        workspace_id,
        plan,
        seats,
        case plan when 'enterprise' then 3 when 'business' then 2 when 'team' then 1 else 0 end as rank
    from usage.workspaces
    where domain is not null
),

-- Of several workspaces of one domain, the highest plan is the company's.
plans as (
    select
        domain,
        plan,
        row_number() over (partition by domain order by rank desc, workspace_id) as place
    from workspaces
),

seats as (
    select domain, count(*) as workspaces, sum(seats) as seats
    from workspaces
    group by domain
),

activity as (
    select
        workspaces.domain,
        max(usage_daily.day) as last_active_on,
        count(
            distinct case
                when usage_daily.day >= cast($run_started_at as date) - interval '28 days'
                    then usage_daily.email
            end
        ) as active_people_28
    from workspaces
    inner join usage_daily on workspaces.workspace_id = usage_daily.workspace_id
    group by workspaces.domain
)

select
    companies.id as company_id,
    plans.domain,
    plans.plan,
    seats.workspaces,
    seats.seats,
    coalesce(activity.active_people_28, 0) as active_people_28,
    activity.last_active_on
from hubspot.companies as companies
inner join plans on lower(trim(companies.domain)) = plans.domain and plans.place = 1
inner join seats on plans.domain = seats.domain
left join activity on plans.domain = activity.domain
where
    companies.archived is not true
    and companies.merged_into is null
    and companies._vanished_at is null
