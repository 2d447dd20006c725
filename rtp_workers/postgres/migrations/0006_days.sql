-- Days, for what is computed by day: those of purged rows, and an index that finds the rows of a day. It costs next to
-- nothing to keep, since files and live records come roughly in the order of time.
alter table purges add column days date[];
create index transactions_occurred_at on transactions using brin (occurred_at) with (pages_per_range = 32, autosummarize = on);
