"""What a column means: the dialect, which column fills which field, where the sign comes from, and what must be asked.

Each ``find_*`` module decides one question, and no other module decides it too.
"""
