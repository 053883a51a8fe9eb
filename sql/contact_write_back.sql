-- One row: what HubSpot should hold about one live contact who has used the
-- product.
select
    customer_contacts.contact_id,
    customers.active_days_28,
    customers.last_active_on,
    -- A plan that is no option of the property would reject the row.
    case when customers.plan in ('free', 'team', 'business', 'enterprise') then customers.plan end
        as plan,
    pql_scores.score,
    suggestions.suggested_stage as stage,
    -- For contacts of whom nothing better is known.
    case when customers.active_days_28 > 0 then 'Product user' end as job_title
from master_customers as customers
inner join customer_contacts on customers.customer_id = customer_contacts.customer_id
left join pql_scores on customers.customer_id = pql_scores.customer_id
left join lifecycle_suggestions as suggestions on customer_contacts.contact_id = suggestions.contact_id
where customers.last_active_on is not null
