-- One row: one live contact, its values cleaned.
select
    id as contact_id,
    email_normalize(email) as email,
    -- Other addresses the contact is known by, parted by `;`.
    hs_additional_emails as additional_emails,
    nullif(trim(concat_ws(' ', trim(firstname), trim(lastname))), '') as name,
    nullif(trim(jobtitle), '') as job_title,
    lifecyclestage as lifecycle_stage
from hubspot.contacts
where archived is not true and merged_into is null and _vanished_at is null
