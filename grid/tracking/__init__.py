"""Run records -> MLflow -> Parquet. MLflow is where people look at runs; it can be rebuilt from the records."""
