-- One row: one person who has used the product, and how much of a lead that
-- makes them (0 to 100), by the weights of `pql_weights`.
with weights as (
    select
        max(points) filter (where signal = 'active_days_28') as active_days_points,
        max(full_at) filter (where signal = 'active_days_28') as active_days_full,
        max(points) filter (where signal = 'features_28') as features_points,
        max(full_at) filter (where signal = 'features_28') as features_full,
        max(points) filter (where signal = 'events_28') as events_points,
        max(full_at) filter (where signal = 'events_28') as events_full,
        max(points) filter (where signal = 'seats') as seats_points,
        max(full_at) filter (where signal = 'seats') as seats_full,
        max(points) filter (where signal = 'activated') as activated_points,
        max(points) filter (where signal = 'rising') as rising_points
    from pql_weights
),

scored as (
    select
        customers.customer_id,
        customers.contact_id,
        cast(
            round(
                coalesce(weights.active_days_points * least(customers.active_days_28 / weights.active_days_full, 1), 0)
                + coalesce(weights.features_points * least(customers.features_28 / weights.features_full, 1), 0)
                + coalesce(weights.events_points * least(customers.events_28 / weights.events_full, 1), 0)
                -- A large workspace nobody uses is no lead.
                + case
                    when customers.active_days_28 > 0
                        then coalesce(weights.seats_points * least(customers.seats / weights.seats_full, 1), 0)
                    else 0
                end
                + case when customers.activated then coalesce(weights.activated_points, 0) else 0 end
                + case
                    when customers.events_28 > customers.events_28_before
                        then coalesce(weights.rising_points, 0)
                    else 0
                end
            ) as bigint
        ) as score
    from master_customers as customers
    cross join weights
    where customers.last_active_on is not null
)

select
    customer_id,
    contact_id,
    score,
    case when score >= 70 then 'hot' when score >= 40 then 'warm' else 'cold' end as grade
from scored
