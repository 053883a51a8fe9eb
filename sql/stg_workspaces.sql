-- One row: one workspace of the product, its values cleaned. A domain at which
-- anybody can have an address says nothing of the company.
with cleaned as (
    select
        workspace_id,
        registrable_domain(domain) as domain,
        lower(trim(plan)) as plan,
        seats,
        row_number() over (partition by workspace_id order by created_on desc, plan) as place
    from usage.workspaces
    where workspace_id is not null
)

select
    workspace_id,
    case when not is_free_email(domain) then domain end as domain,
    plan,
    stage_rank(plan, ['free', 'team', 'business', 'enterprise']) as plan_rank,
    seats
from cleaned
where place = 1
