"""A folder with a small sales file and its mapping, to be spoilt in one way per test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.sources.files import FilesSource

SALES = """Customer,Article,Time,Pieces,Price,Text
1,a1,2026-01-01 10:00:00,2,1.50,Tea
1,A1,2026-01-02 10:00:00,1,1.70,Tea
2,b2,2026-01-02 23:59:59,3,9.00,"Pot, large"
,b2,2026-01-04 08:00:00,1,9.00,Pot
"""


@dataclass
class SalesFolder:
    """`sales.csv` and what its mapping says."""

    path: Path
    interactions: dict[str, Any]
    rest: dict[str, Any]

    def write(self, text: str, *, encoding: str = "utf-8") -> None:
        (self.path / "sales.csv").write_text(text, encoding=encoding)

    def source(self) -> FilesSource:
        mapping = self.path / "mapping.yaml"
        mapping.write_text(yaml.safe_dump({"interactions": self.interactions, **self.rest}))
        return FilesSource.open(mapping)

    def rows(self) -> list[dict[str, Any]]:
        """All interactions."""
        source = self.source()
        tables = source.interactions(source.first_day(), source.last_day())
        return [row for table in tables for row in table.to_pylist()]


@pytest.fixture
def sales(tmp_path: Path) -> SalesFolder:
    columns = {
        "user_id": "Customer",
        "item_id": "Article",
        "occurred_at": "Time",
        "quantity": "Pieces",
        "price": "Price",
    }
    folder = SalesFolder(tmp_path, {"path": "sales.csv", "columns": columns, "event_type": "purchase"}, {})
    folder.write(SALES)
    return folder
