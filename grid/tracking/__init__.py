"""Run records -> MLflow -> Parquet.

MLflow is where people look at runs. It can be rebuilt from the records.
"""
