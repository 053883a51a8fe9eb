-- One row: one person as the whole business knows them: contacts of HubSpot,
-- their company, and what they do in the product. A column `<name>_source` says
-- where the value beside it came from. Of several contacts the oldest wins (the
-- lowest id, which no update changes), and younger ones fill its gaps.
with contacts as (
    select
        customer_contacts.customer_id,
        customer_contacts.contact_id,
        concat('contact:', customer_contacts.contact_id) as source,
        stg_contacts.email,
        stg_contacts.name,
        stg_contacts.job_title,
        stg_contacts.lifecycle_stage,
        companies.company_id
    from customer_contacts
    inner join stg_contacts on customer_contacts.contact_id = stg_contacts.contact_id
    left join contact_companies on customer_contacts.contact_id = contact_companies.contact_id
    -- An archived company is none.
    left join stg_companies as companies on contact_companies.company_id = companies.company_id
),

known as (
    select
        customer_id,
        min(contact_id) as contact_id,
        count(*) as contacts,
        first_value(email order by contact_id) filter (where email is not null) as email,
        first_value(source order by contact_id) filter (where email is not null) as email_source,
        first_value(name order by contact_id) filter (where name is not null) as name,
        first_value(source order by contact_id) filter (where name is not null) as name_source,
        first_value(job_title order by contact_id) filter (where job_title is not null) as job_title,
        first_value(source order by contact_id) filter (where job_title is not null) as job_title_source,
        first_value(lifecycle_stage order by contact_id) filter (where lifecycle_stage is not null)
            as lifecycle_stage,
        first_value(source order by contact_id) filter (where lifecycle_stage is not null)
            as lifecycle_stage_source,
        first_value(company_id order by contact_id) filter (where company_id is not null) as company_id
    from contacts
    group by customer_id
),

users as (
    select cluster_id as customer_id, substr(record, 6) as email
    from id_map
    where starts_with(record, 'user:')
),

used as (
    select
        users.customer_id,
        min(users.email) as email,
        min(usage_current.first_active_on) as first_active_on,
        max(usage_current.last_active_on) as last_active_on,
        bit_or(usage_current.active_days) as active_days,
        sum(usage_current.events_28) as events_28,
        sum(usage_current.events_28_before) as events_28_before,
        max(usage_current.features_28) as features_28,
        bool_or(usage_current.activated) as activated,
        first_value(
            usage_current.favourite_feature
            order by
                usage_current.events_28 desc, usage_current.last_active_on desc,
                usage_current.workspace_id, usage_current.email
        ) as favourite_feature,
        first_value(
            usage_current.workspace_id
            order by usage_current.last_active_on desc, usage_current.events_28 desc, usage_current.workspace_id
        ) as workspace_id
    from users
    inner join usage_current on users.email = usage_current.email
    group by users.customer_id
),

people as (
    select
        coalesce(known.customer_id, used.customer_id) as customer_id,
        known.contact_id,
        coalesce(known.contacts, 0) as contacts,
        coalesce(known.email, used.email) as email,
        case when known.email is not null then known.email_source when used.email is not null then 'product' end
            as email_source,
        known.name,
        known.name_source,
        known.job_title,
        known.job_title_source,
        known.lifecycle_stage,
        known.lifecycle_stage_source,
        known.company_id,
        used.first_active_on,
        used.last_active_on,
        used.active_days,
        used.events_28,
        used.events_28_before,
        used.features_28,
        used.activated,
        used.favourite_feature,
        used.workspace_id
    from known
    full outer join used on known.customer_id = used.customer_id
),

-- A company that HubSpot names comes before the one whose domain the address has.
domains as (
    select domain, min(company_id) as company_id
    from stg_companies
    where domain is not null
    group by domain
),

placed as (
    select
        people.*,
        coalesce(people.company_id, domains.company_id) as any_company_id,
        case
            when people.company_id is not null then 'association'
            when domains.company_id is not null then 'email domain'
        end as company_source
    from people
    left join domains on registrable_domain(people.email) = domains.domain
)

select
    placed.customer_id,
    placed.contact_id,
    placed.contacts,
    placed.email,
    placed.email_source,
    placed.name,
    placed.name_source,
    placed.job_title,
    placed.job_title_source,
    placed.lifecycle_stage,
    placed.lifecycle_stage_source,
    placed.any_company_id as company_id,
    placed.company_source,
    companies.name as company_name,
    companies.domain as company_domain,
    placed.workspace_id,
    workspaces.plan,
    workspaces.seats,
    placed.first_active_on,
    placed.last_active_on,
    coalesce(bit_count(placed.active_days & 127), 0) as active_days_7,
    coalesce(bit_count(placed.active_days), 0) as active_days_28,
    coalesce(placed.events_28, 0) as events_28,
    coalesce(placed.events_28_before, 0) as events_28_before,
    coalesce(placed.features_28, 0) as features_28,
    placed.favourite_feature,
    coalesce(placed.activated, false) as activated
from placed
left join stg_companies as companies on placed.any_company_id = companies.company_id
left join stg_workspaces as workspaces on placed.workspace_id = workspaces.workspace_id
