-- One row: one live contact as the whole business knows it, from HubSpot, its
-- company and the product.
select
    contacts.id as contact_id,
    lower(trim(contacts.email)) as email,
    nullif(trim(concat_ws(' ', contacts.firstname, contacts.lastname)), '') as name,
    contacts.jobtitle as job_title,
    contacts.lifecyclestage as lifecycle_stage,
    companies.id as company_id,
    companies.name as company_name,
    lower(trim(companies.domain)) as company_domain,
    company_usage.plan,
    company_usage.seats,
    contact_usage.workspace_id,
    contact_usage.first_active_on,
    contact_usage.last_active_on,
    coalesce(contact_usage.active_days_28, 0) as active_days_28,
    coalesce(contact_usage.events_28, 0) as events_28,
    contact_usage.favourite_feature
from hubspot.contacts as contacts
left join contact_companies on contacts.id = contact_companies.contact_id
left join hubspot.companies as companies on contact_companies.company_id = companies.id
left join company_usage on companies.id = company_usage.company_id
left join contact_usage on contacts.id = contact_usage.contact_id
where
    contacts.archived is not true
    and contacts.merged_into is null
    and contacts._vanished_at is null
