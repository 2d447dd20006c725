-- The newest rows, by arrival. Run it again to watch the table grow.
select ingested_at, source, transaction_id, occurred_at, amount, currency, merchant, category, customer_id, country
from transactions
where ingested_at > now() - interval '15 minutes'
order by ingested_at desc
limit 200;
