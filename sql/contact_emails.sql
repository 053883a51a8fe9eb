-- One row: an email address by which a live contact is known, its primary one
-- or an additional one, lower-cased; and that contact.
with live as (
    select id, email, hs_additional_emails
    from hubspot.contacts
    where archived is not true and merged_into is null and _vanished_at is null
),

addresses as (
    select id, email from live
    union all
    select id, unnest(string_to_array(hs_additional_emails, ';')) as email from live
)

select lower(trim(email)) as email, min(id) as contact_id
from addresses
where trim(email) <> ''
group by 1
