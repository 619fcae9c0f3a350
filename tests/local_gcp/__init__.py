"""Local servers that speak BigQuery's and Cloud Storage's protocols, for tests. What they are not: README.md."""

from tests.local_gcp.local_gcp import LocalGcp

__all__ = ["LocalGcp"]
