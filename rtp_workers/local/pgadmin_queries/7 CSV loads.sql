-- Every file that was loaded or is being loaded, newest first.
select file_name, state, rows_read, acknowledged, refused, size_bytes, byte_offset,
       started_at, coalesce(finished_at, updated_at) - started_at as took, detail
from csv_loads
order by started_at desc;
