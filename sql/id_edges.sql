-- One row: a record (`contact:51`, `user:ann@acme.com`) bears an identifier. A
-- row with `exclude_reason` is kept in `id_map_excluded` and joins nothing.
with written as (
    select concat('contact:', contact_id) as record, email from stg_contacts
    union all
    select concat('contact:', contact_id) as record, unnest(hs_split(additional_emails)) as email
    from stg_contacts
    union all
    select distinct concat('user:', email) as record, email from usage_current
),

addresses as (
    select record, email_normalize(email) as email
    from written
    where email_normalize(email) is not null
)

-- A contact without an address is a person all the same.
select
    concat('contact:', contact_id) as record,
    'contact' as kind,
    cast(contact_id as varchar) as identifier,
    cast(null as varchar) as exclude_reason
from stg_contacts
union all
-- What HubSpot has merged stays one person.
select concat('contact:', id), 'contact', cast(merged_into as varchar), null
from hubspot.contacts
where merged_into is not null
union all
select record, 'email', email, null
from addresses
union all
-- Other ways to write one mailbox; only providers of free mail have them.
select record, 'mailbox', email_key(email), null
from addresses
where is_free_email(email)
