-- The newest refused records as they came; bytes that are no UTF-8 are shown escaped.
select first_seen_at, topic, kafka_partition, kafka_offset, reason, detail,
       encode(key, 'escape') as key, left(encode(value, 'escape'), 2000) as value, headers
from dead_letters
order by first_seen_at desc
limit 100;
