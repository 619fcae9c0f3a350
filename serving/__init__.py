"""Answers over HTTP from one release bundle. Never trains, never judges; TensorFlow, Dagster, dbt and MLflow stay outside."""
