-- What was refused, by topic and reason, and how often. `example` is one sentence about the newest letter.
-- Replay: rtp dead-letters replay --topic NAME --reason REASON.
select topic, reason, count(*) as letters, count(replayed_at) as replayed, max(first_seen_at) as newest,
       (array_agg(detail order by first_seen_at desc))[1] as example
from dead_letters
group by topic, reason
order by letters desc;
