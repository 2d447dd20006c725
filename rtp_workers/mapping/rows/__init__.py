"""Converts rows by a complete plan, a block of rows at a time. Decides nothing: a cell that does not fit is refused."""
