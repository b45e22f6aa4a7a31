"""From the tree of a statement to ClickHouse's SQL with bound parameters.

Every name of the SQL is made here (`t1`, `c2`, ..): nothing of the caller's text gets into it.
"""
