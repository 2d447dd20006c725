"""What a column means: the dialect, which column fills which field, where the sign comes from, what must be asked.

Each ``find_*`` module decides one question, which no other module decides.
"""
