-- One row: what one person did in one workspace with one feature on one whole
-- day (UTC). The running day is left out, so that two runs on one day see the
-- same rows.
select
    email_normalize(user_email) as email,
    workspace_id,
    event_name as feature,
    cast(occurred_at as date) as day,
    count(*) as events
from usage.events
where
    occurred_at < date_trunc('day', $run_started_at)
    and email_normalize(user_email) is not null
    and workspace_id is not null
group by 1, 2, 3, 4
