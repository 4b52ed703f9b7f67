"""Tables from the collected Parquet files alone: no tracking store, no records, no torch."""
