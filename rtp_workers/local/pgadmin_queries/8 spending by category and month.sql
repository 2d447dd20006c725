-- Sums are exact: amount is numeric. One line per currency, since amounts of different currencies do not add up.
select date_trunc('month', occurred_at at time zone 'utc')::date as month, currency, category,
       count(*) as transactions, sum(amount) as total, round(avg(amount), 2) as average
from transactions
where occurred_at > now() - interval '1 year'
group by month, currency, category
order by month desc, currency, total desc;
