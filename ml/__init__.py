"""What Aisle knows about recommending: closed functions over frames and arrays. Never Dagster, the environment or the clock."""

__version__ = "0.1.0"
