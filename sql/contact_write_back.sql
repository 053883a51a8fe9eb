-- One row: what HubSpot should hold about one contact who uses the product.
select
    contact_usage.contact_id,
    contact_usage.active_days_28,
    contact_usage.last_active_on,
    -- A plan that is no option of the property would reject the row.
    case when workspaces.plan in ('free', 'team', 'business', 'enterprise') then workspaces.plan end
        as plan,
    case
        when workspaces.plan in ('team', 'business', 'enterprise') then 'customer'
        when contact_usage.active_days_28 >= $qualified_from_active_days then 'salesqualifiedlead'
        when contact_usage.active_days_28 > 0 then 'marketingqualifiedlead'
    end as stage,
    -- For contacts of whom nothing better is known.
    case when contact_usage.active_days_28 > 0 then 'Product user' end as job_title
from contact_usage
left join usage.workspaces as workspaces on contact_usage.workspace_id = workspaces.workspace_id
