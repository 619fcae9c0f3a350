"""What Aisle knows about recommending: closed functions over frames and arrays. Never Dagster, the environment or the clock."""
