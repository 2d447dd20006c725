-- From the schema insights, which Dagster keeps (asset daily_activity): days are of UTC, an empty text is "not known".
select day, currency, sum(transactions) as transactions, sum(amount) as total, sum(refunds) as refunds,
       sum(declines) as declines, max(computed_at) as computed_at
from insights.daily_activity
where day > now() - interval '90 days'
group by day, currency
order by day desc, transactions desc;
