-- One row: a record (`contact:51`, `user:ann@acme.com`) bears an identifier. A
-- row with `exclude_reason` is kept in `id_map_excluded` and joins nothing.
with addresses as (
    select contact_id, email from stg_contacts
    union all
    select contact_id, email_normalize(unnest(hs_split(additional_emails))) as email
    from stg_contacts
),

people as (
    select distinct email from usage_current
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
select concat('contact:', contact_id), 'email', email_key(email), null
from addresses
where email is not null
union all
select concat('user:', email), 'email', email_key(email), null
from people
