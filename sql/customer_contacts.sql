-- One row: a live contact and the person it is.
select stg_contacts.contact_id, members.customer_id
from (
    select cluster_id as customer_id, cast(substr(record, 9) as bigint) as contact_id
    from id_map
    where starts_with(record, 'contact:')
) as members
inner join stg_contacts on members.contact_id = stg_contacts.contact_id
