-- One row: what HubSpot should hold about one live company whose domain owns a
-- workspace.
select stg_companies.company_id, account_usage.active_people_28, account_usage.seats
from stg_companies
inner join account_usage on stg_companies.domain = account_usage.domain
