-- One row: one live deal, its values cleaned.
select
    id as deal_id,
    nullif(trim(dealname), '') as name,
    pipeline,
    dealstage as stage,
    amount,
    hs_timestamp(closedate) as closes_at,
    coalesce(hs_is_closed, false) as is_closed,
    coalesce(hs_is_closed_won, false) as is_won
from hubspot.deals
where archived is not true and merged_into is null and _vanished_at is null
