"""The Parquet files that collection writes and tables read."""
