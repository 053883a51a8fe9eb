-- One row: one live contact whose lifecycle stage should move forward, to which
-- stage, and why.
with reached as (
    select
        customer_contacts.contact_id,
        customers.customer_id,
        stg_contacts.lifecycle_stage,
        case
            when customers.plan in ('team', 'business', 'enterprise') then 'customer'
            when customers.active_days_28 >= $qualified_from_active_days then 'salesqualifiedlead'
            when customers.active_days_28 > 0 then 'marketingqualifiedlead'
        end as suggested_stage,
        case
            when customers.plan in ('team', 'business', 'enterprise')
                then concat('workspace on plan ', customers.plan)
            else concat('active on ', customers.active_days_28, ' of 28 days')
        end as reason
    from master_customers as customers
    inner join customer_contacts on customers.customer_id = customer_contacts.customer_id
    inner join stg_contacts on customer_contacts.contact_id = stg_contacts.contact_id
    where customers.last_active_on is not null
),

ranked as (
    select
        *,
        stage_rank(
            suggested_stage,
            ['subscriber', 'lead', 'marketingqualifiedlead', 'salesqualifiedlead', 'opportunity', 'customer']
        ) as suggested_rank,
        stage_rank(
            lifecycle_stage,
            ['subscriber', 'lead', 'marketingqualifiedlead', 'salesqualifiedlead', 'opportunity', 'customer']
        ) as current_rank
    from reached
)

select contact_id, customer_id, lifecycle_stage, suggested_stage, reason
from ranked
-- A stage of one's own making is off the list, and no business of ours.
where suggested_rank > case when lifecycle_stage is null then 0 else current_rank end
