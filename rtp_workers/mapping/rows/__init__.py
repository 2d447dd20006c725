"""Converts rows by a decided plan, a block of rows at a time. Decides nothing: a cell that does not fit is refused."""
