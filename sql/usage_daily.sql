-- One row: what one person did in one workspace with one feature on one whole
-- day (UTC). The running day is left out, so that two runs on one day see the
-- same rows.
select
    lower(trim(user_email)) as email,
    workspace_id,
    event_name as feature,
    cast(occurred_at as date) as day,
    count(*) as events
from usage.events
where
    user_email is not null
    and cast(occurred_at as date) < cast($run_started_at as date)
group by 1, 2, 3, 4
