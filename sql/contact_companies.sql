-- One row: a contact and its company, the primary one where HubSpot names one.
select contact_id, company_id
from (
    select
        from_id as contact_id,
        to_id as company_id,
        row_number() over (
            partition by from_id
            -- Type 1 is HubSpot's own `primary company` of a contact.
            order by case when category = 'HUBSPOT_DEFINED' and type_id = 1 then 0 else 1 end, to_id
        ) as place
    from hubspot.associations
    where from_type = 'contacts' and to_type = 'companies'
) as ranked
where place = 1
