"""What the pages say of the repository is so: paths, links, assets, checks, variables and the tables of recipes."""

import re
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from orchestration.development import Ports
from orchestration.settings import PlatformSettings
from serving.settings import ServiceSettings
from tools import recipe_docs

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
ASSET_PREFIXES = ("raw", "staging", "intermediate", "marts", "ml", "monitoring")
READ_HERE = {".py", ".md", ".yaml", ".yml", ".toml", ".sql"}
"""Kinds of files that are named without their folder; other names of files are those of a bundle or of the home folder."""


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def prose(page: Path) -> str:
    """A page without its blocks of code: those show what a user types or writes, in folders of their own."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@cache
def files() -> tuple[Path, ...]:
    """Of the repository, paths relative to it; without what is made by running it."""
    hidden = re.compile(r"(^|/)(\.(?!ci|gitignore)|__pycache__|target/)")
    found = (path.relative_to(ROOT) for name in top_level() for path in [ROOT / name, *(ROOT / name).rglob("*")])
    return tuple(path for path in found if not hidden.search(path.as_posix()))


@cache
def top_level() -> frozenset[str]:
    return frozenset(path.name for path in ROOT.iterdir() if not path.name.startswith(".") or path.name == ".ci")


@cache
def assets() -> frozenset[str]:
    """Keys of every asset, read off the source: dbt models by their files, the rest by their functions."""
    models = (path for path in files() if path.parts[:2] == ("dbt_project", "models") and path.suffix == ".sql")
    keys = {f"{path.parts[2]}/{path.stem}" for path in models}
    snapshots = (path for path in files() if path.parts[:2] == ("dbt_project", "snapshots") and path.suffix == ".sql")
    keys |= {f"marts/{path.stem}" for path in snapshots}
    prefix_of = {"ingest": "raw", "training": "ml", "release": "ml", "experiments": "ml", "monitoring": "monitoring"}
    for module, prefix in prefix_of.items():
        source = (ROOT / "orchestration" / "assets" / f"{module}.py").read_text()
        keys |= {f"{prefix}/{name}" for name in re.findall(r"^@dg\.asset\(.*?^def (\w+)\(", source, re.M | re.S)}
    return frozenset(keys)


def is_there(name: str) -> bool:
    """Whether a name in code font is a file, a folder, a pattern with a match or an asset of this repository."""
    name = name.rstrip("/")
    if name in assets() or (ROOT / name).exists():
        return True
    if "*" in name:
        return any(ROOT.glob(name))
    return "/" not in name and any(path.name == name for path in files())


def looks_like_ours(name: str) -> bool:
    if re.search(r"[\s{}<>$=(),\"']|^-|^/", name):
        return False
    first, *rest = name.split("/")
    return (bool(rest) and (first in top_level() or first in ASSET_PREFIXES)) or Path(name).suffix in READ_HERE


@each_page
def test_every_path_and_asset_a_page_names_is_there(page: Path) -> None:
    named = {name for name in CODE.findall(prose(page)) if looks_like_ours(name)}
    assert sorted(name for name in named if not is_there(name)) == []


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    lost = [target for target in LINK.findall(prose(page)) if not leads_somewhere(page, target)]
    assert lost == []


def leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page
    return found.exists() and (not anchor or anchor in headings(found))


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, made as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_page_that_names_what_is_not_there_is_found_out(tmp_path: Path) -> None:
    assert looks_like_ours("ml/nothing.py")
    assert not is_there("ml/nothing.py")
    assert not is_there("ml/no_such_asset")
    assert is_there("ml/contract/errors.py")
    assert is_there("ml/ann_index")
    assert not looks_like_ours("query_tower.onnx")
    page = tmp_path / "page.md"
    page.write_text("# One title\n[here](#one-title) [there](#another)")
    assert [leads_somewhere(page, target) for target in LINK.findall(page.read_text())] == [True, False]


def test_every_check_on_the_data_path_exists() -> None:
    """A guard is named by what it is called in the graph."""
    code = [*(ROOT / "orchestration").rglob("*.py"), *(ROOT / "dbt_project").rglob("*.yml")]
    words = set(re.findall(r"\w+", " ".join(path.read_text() for path in code if "target" not in path.parts)))
    words |= {path.stem for path in (ROOT / "dbt_project" / "tests").rglob("*.sql")}
    guards = re.findall(r"^\*\*Guard\.\*\*.*?(?=^\*\*|^#|\Z)", prose(ROOT / "docs" / "data-path.md"), re.M | re.S)
    assert len(guards) == 13
    names = {name for guard in guards for name in CODE.findall(guard) if re.fullmatch(r"[a-z0-9_]+", name)}
    # What the suites put together from a column's name is looked for by the column's.
    assert sorted(name for name in names if name.removesuffix("_is_a_share") not in words) == []


@pytest.mark.parametrize("settings", [PlatformSettings, Ports, ServiceSettings])
def test_every_environment_variable_is_documented_with_its_default(settings: type[BaseSettings]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    for name, field in settings.model_fields.items():
        row = rows[f"`{field.validation_alias or f'AISLE_{name.upper()}'}`"]
        default = field.get_default()
        if default is not None and "SecretStr" not in str(field.annotation):
            assert f"`{default}`" in row, row


def test_the_tables_of_recipes_are_those_of_the_settings_classes() -> None:
    """Remedy: `.venv/bin/python -m tools.recipe_docs --write`."""
    page = recipe_docs.PAGE.read_text()
    assert page == recipe_docs.renewed(page)


def test_every_field_of_a_recipe_has_a_meaning() -> None:
    fields = [(section, *found) for section in recipe_docs.sections(recipe_docs.Recipe) for found in section.fields()]
    assert [f"{part.place}.{name}" for part, name, field in fields if not recipe_docs.meaning(part, name, field)] == []
    described = {f"{part.place}.{name}".strip(".") for part, name, field in fields if field.description}
    assert sorted(described & recipe_docs.MEANINGS.keys()) == []  # the class says it now: delete it from MEANINGS


def test_every_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {re.match(r"[\w-]+", requirement).group() for requirement in declared} - {"aisle"}  # type: ignore[union-attr]
    [page] = (ROOT / "docs" / "decisions").glob("0003-*.md")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)`", page.read_text(), re.MULTILINE))
    assert len(names) > 30
    assert sorted(names - explained) == []
    assert sorted(explained - names) == []


def test_decisions_are_numbered_without_a_gap_and_say_what_they_cost() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        assert re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE) == ["Context", "Decision", "Price"], path.name
