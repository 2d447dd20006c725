-- From the schema insights, which Dagster keeps (asset customer_activity).
select customer_id, currency, count(*) as active_days, sum(transactions) as transactions, sum(amount) as total,
       sum(declines) as declines, max(day) as last_day
from insights.customer_activity
where day > now() - interval '90 days'
group by customer_id, currency
order by transactions desc
limit 100;
