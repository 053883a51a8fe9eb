-- One row: one live company, its values cleaned. A domain at which anybody can
-- have an address is no company's.
with live as (
    select id, name, lifecyclestage, registrable_domain(domain) as domain
    from hubspot.companies
    where archived is not true and merged_into is null and _vanished_at is null
)

select
    id as company_id,
    nullif(trim(name), '') as name,
    case when not is_free_email(domain) then domain end as domain,
    lifecyclestage as lifecycle_stage
from live
