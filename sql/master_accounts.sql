-- One row: one company as the whole business knows it: companies of HubSpot and
-- workspaces of the product that have one domain, and their deals. A company
-- without a domain is an account of its own. A column `<name>_source` says where
-- the value beside it came from; of several companies the oldest wins.
with companies as (
    select
        company_id,
        coalesce(domain, concat('company:', company_id)) as account_id,
        concat('company:', company_id) as source,
        name,
        domain,
        lifecycle_stage
    from stg_companies
),

known as (
    select
        account_id,
        min(company_id) as company_id,
        count(*) as companies,
        min(domain) as domain,
        first_value(name order by company_id) filter (where name is not null) as name,
        first_value(source order by company_id) filter (where name is not null) as name_source,
        first_value(lifecycle_stage order by company_id) filter (where lifecycle_stage is not null)
            as lifecycle_stage,
        first_value(source order by company_id) filter (where lifecycle_stage is not null)
            as lifecycle_stage_source
    from companies
    group by account_id
),

deals as (
    select
        companies.account_id,
        sum(case when not stg_deals.is_closed then 1 else 0 end) as open_deals,
        sum(case when not stg_deals.is_closed then stg_deals.amount end) as open_amount,
        sum(case when stg_deals.is_won then stg_deals.amount end) as won_amount
    from stg_deals
    inner join deal_companies on stg_deals.deal_id = deal_companies.deal_id
    inner join companies on deal_companies.company_id = companies.company_id
    group by companies.account_id
),

accounts as (
    select
        coalesce(known.account_id, used.domain) as account_id,
        known.company_id,
        coalesce(known.companies, 0) as companies,
        coalesce(known.domain, used.domain) as domain,
        case when known.domain is not null then concat('company:', known.company_id) else 'product' end
            as found_in,
        known.name,
        known.name_source,
        known.lifecycle_stage,
        known.lifecycle_stage_source,
        used.plan,
        coalesce(used.workspaces, 0) as workspaces,
        used.seats,
        coalesce(used.active_people_28, 0) as active_people_28,
        coalesce(used.events_28, 0) as events_28,
        coalesce(used.events_28_before, 0) as events_28_before,
        used.last_active_on
    from known
    full outer join account_usage as used on known.account_id = used.domain
)

select
    accounts.account_id,
    accounts.company_id,
    accounts.companies,
    accounts.name,
    accounts.name_source,
    accounts.domain,
    case when accounts.domain is not null then accounts.found_in end as domain_source,
    accounts.lifecycle_stage,
    accounts.lifecycle_stage_source,
    accounts.plan,
    accounts.workspaces,
    accounts.seats,
    accounts.active_people_28,
    accounts.events_28,
    accounts.events_28_before,
    accounts.last_active_on,
    coalesce(deals.open_deals, 0) as open_deals,
    coalesce(deals.open_amount, 0) as open_amount,
    coalesce(deals.won_amount, 0) as won_amount
from accounts
left join deals on accounts.account_id = deals.account_id
