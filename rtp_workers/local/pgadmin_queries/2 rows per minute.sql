-- Arrivals of the last hour by minute and source (the BRIN index on ingested_at keeps this cheap).
select date_trunc('minute', ingested_at) as minute, source, count(*) as rows
from transactions
where ingested_at > now() - interval '1 hour'
group by minute, source
order by minute desc, source;
