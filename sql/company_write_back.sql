-- One row: what HubSpot should hold about one company that owns a workspace.
select company_id, active_people_28, seats
from company_usage
