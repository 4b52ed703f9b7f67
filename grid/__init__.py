"""Many experiments: definitions, plans, tracking, statistics, tables, search."""
