-- One row: a deal and its company, the primary one where HubSpot names one.
select deal_id, company_id
from (
    select
        from_id as deal_id,
        to_id as company_id,
        row_number() over (
            partition by from_id
            -- Type 5 is HubSpot's own `primary company` of a deal.
            order by case when category = 'HUBSPOT_DEFINED' and type_id = 5 then 0 else 1 end, to_id
        ) as place
    from hubspot.associations
    where from_type = 'deals' and to_type = 'companies'
) as ranked
where place = 1
