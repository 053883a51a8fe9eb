-- One row: a signal of product use, the points it is worth at most, and the
-- value that earns them all. The points add up to 100.
select
    column1 as signal,
    cast(column2 as double) as points,
    cast(column3 as double) as full_at
from (
    values
        ('active_days_28', 35, 12),
        ('features_28', 20, 4),
        ('events_28', 15, 60),
        ('seats', 15, 25),
        ('activated', 10, 1),
        ('rising', 5, 1)
) as weights
