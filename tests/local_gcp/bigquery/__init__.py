"""BigQuery's interfaces (REST v2 and Storage Read) over DuckDB. Not BigQuery: see ../README.md for what differs."""
