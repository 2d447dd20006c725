-- Why offsets were stepped over; null for holes that retention left.
alter table log_holes add column reason text;
