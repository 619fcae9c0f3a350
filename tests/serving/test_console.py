"""The console in a real browser, on the small world's bundles."""

import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
import uvicorn
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from ml.contract.manifest import FileList, Manifest
from ml.release.publish import publish
from ml.runtime.bundle import Names
from ml.runtime.items import ItemTable
from serving.app import create_app
from serving.security.gate import CONSOLE
from serving.security.keys import ApiKey, KeyFile, Scope, development_key
from serving.settings import ServiceSettings
from tests.serving.conftest import NOW, copy_with_a_broken_file

HOSTILE = '<img src=x onerror="window.hacked = true">'
PICTURE = "https://pictures.test/there.png"
NO_PICTURE = "https://pictures.test/not-there.png"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


@dataclass
class Site:
    """A running service and what opens it."""

    address: str
    key: str
    home: Path


@contextmanager
def running(settings: ServiceSettings) -> Iterator[Site]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.01)
            address = f"http://127.0.0.1:{taken.getsockname()[1]}"
            yield Site(address, development_key(settings.development_key_path), settings.home)
        finally:
            server.should_exit = True
            thread.join()


def with_items(bundle: Path, parent: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    """The same bundle with another catalogue."""
    draft = parent / "draft"
    shutil.copytree(bundle, draft)
    table = change(ItemTable.load(draft / Names.ITEMS).table)
    (draft / Names.ITEMS).unlink()
    ItemTable(table).save(draft / Names.ITEMS)
    manifest = Manifest.of(Manifest.read(bundle).facts, FileList.found_in(draft).files)
    manifest.write(draft)
    return draft.rename(parent / manifest.version)


def hostile(items: pa.Table) -> pa.Table:
    """Every name an attack; two kinds of pictures, and items without one."""
    pictures = [[PICTURE, NO_PICTURE, None, "javascript:window.hacked = true"][row % 4] for row in range(len(items))]
    for name, values in (("title", [HOSTILE] * len(items)), ("image_url", pictures)):
        items = items.set_column(items.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return items


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, bundles: tuple[Path, Path]) -> Iterator[Site]:
    """The first bundle is live, the second and a damaged one are kept beside it."""
    home = tmp_path_factory.mktemp("console")
    for bundle in (bundles[1], bundles[0]):
        publish(bundle, releases=home / "releases", now=NOW)
    with running(ServiceSettings(home=home)) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, and what it complained of."""

    page: Page
    complaints: list[str]

    def opened(self, site: Site, key: str | None = None) -> Page:
        self.page.goto(f"{site.address}/console")
        self.page.get_by_label("Key", exact=True).fill(site.key if key is None else key)
        self.page.get_by_role("button", name="Use it").click()
        return self.page

    def leave(self) -> None:
        """Before the service goes away: a question still on its way would be a complaint."""
        self.page.goto("about:blank")


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """At the end of a test the page must have complained of nothing that the test did not take off the list."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield Tab(page, complaints)
    context.close()
    assert complaints == []


def ready(page: Page) -> None:
    """The list, the history and the reasons of the first item are shown."""
    expect(page.locator("#why-body .stage")).to_have_count(4, timeout=20_000)


def ids(page: Page, of: str = "#list") -> list[str]:
    return page.locator(f"{of} li").evaluate_all("tiles => tiles.map(tile => tile.dataset.id)")


def pick(page: Page, label: str, words: str, option: str) -> None:
    page.get_by_label(label, exact=True).fill(words)
    option_of(page, option).click()


def option_of(page: Page, words: str) -> Locator:
    """A suggestion, not an option of a select."""
    return page.locator(".option:visible", has_text=words).first


@pytest.mark.browser
def test_a_person_picks_a_user_and_sees_the_history_the_list_and_why(site, tab):
    page = tab.opened(site)
    ready(page)
    pick(page, "Visitor", "u003", "User u003")
    expect(page.locator("#facts")).to_contain_text("personal")
    expect(page.locator("#list li")).to_have_count(12)
    assert page.locator("#history li").count() == 40
    expect(page.locator("#why-title")).to_contain_text("Why Item")
    page.locator("#list li").nth(2).locator(".face").click()
    name = page.locator("#list li").nth(2).locator(".name").inner_text()
    expect(page.locator("#why-title")).to_have_text(f"Why {name}")
    expect(page.locator("#why-body")).to_contain_text("Place 3 with")
    parts = [
        float(value.replace("−", "-").replace("+", ""))
        for value in page.locator(".signed .row-value").all_inner_texts()
    ]
    score = float(page.locator(".sum b").inner_text())
    assert sum(parts) == pytest.approx(score, abs=0.0005 * (len(parts) + 1))
    assert page.locator("#why-body dd").first.inner_text() == page.locator("#release span").first.inner_text()


@pytest.mark.browser
def test_an_event_changes_the_list_of_somebody_new_and_the_moves_are_marked(site, tab):
    page = tab.opened(site)
    ready(page)
    page.get_by_label("Visitor").click()
    option_of(page, "A new visitor").click()
    expect(page.locator("#history")).to_contain_text("a cold start")
    expect(page.locator("#facts")).to_contain_text("popular: nothing is known")
    before = ids(page)
    page.get_by_role("button", name="View: ").nth(3).click()
    expect(page.locator("#status")).to_contain_text("ms from the acknowledged event to this list")
    expect(page.locator("#facts")).to_contain_text("personal")
    after = ids(page)
    assert after != before
    for place, item in enumerate(after):
        mark = page.locator(f'#list li[data-id="{item}"] .move')
        moved = before.index(item) - place if item in before else None
        expected = "new" if moved is None else f"▲{moved}" if moved > 0 else f"▼{-moved}"
        assert mark.all_inner_texts() == ([] if moved == 0 else [expected])
    gone = [item for item in before if item not in after]
    assert bool(gone) == page.locator("#gone").is_visible()
    expect(page.locator("#history li")).to_have_count(1)
    expect(page.locator("#history li")).to_contain_text("viewed")


@pytest.mark.browser
def test_another_version_stands_beside_the_champion_with_its_moves(site, tab, bundles):
    page = tab.opened(site)
    ready(page)
    pick(page, "Visitor", "u003", "User u003")
    page.get_by_label("Beside").select_option(bundles[1].name)
    expect(page.locator("#other-list li.tile")).to_have_count(12, timeout=20_000)
    expect(page.locator("#facts")).to_contain_text("in both")
    champion, other = ids(page), ids(page, "#other-list")
    assert champion != other
    for place, item in enumerate(other):
        mark = page.locator(f'#other-list li[data-id="{item}"] .move').all_inner_texts()
        moved = champion.index(item) - place if item in champion else None
        assert mark == (
            [] if moved == 0 else ["only here" if moved is None else f"▲{moved}" if moved > 0 else f"▼{-moved}"]
        )
    assert page.locator("#list .move").count() == len(set(champion) - set(other))
    page.get_by_label("Beside").select_option("")
    expect(page.locator("#other-list")).to_be_hidden()


@pytest.mark.browser
def test_a_damaged_version_is_refused_in_words(site, tab, bundles):
    folder = copy_with_a_broken_file(bundles[1], site.home / "releases" / "2026-02-02-damaged")
    try:
        page = tab.opened(site)
        ready(page)
        page.get_by_label("Beside").evaluate("(select) => select.append(new Option('damaged', '2026-02-02-damaged'))")
        page.get_by_label("Beside").select_option("2026-02-02-damaged")
        expect(page.locator("#trouble")).to_contain_text("Gone. Expected release 2026-02-02-damaged to be whole")
        expect(page.locator("#trouble")).to_contain_text("ranker.txt")
        expect(page.locator("#list li.tile")).to_have_count(12)
    finally:
        shutil.rmtree(folder)
    tab.complaints[:] = [said for said in tab.complaints if "410" not in said]


@pytest.mark.browser
def test_every_surface_has_its_list(site, tab):
    page = tab.opened(site)
    ready(page)
    for surface in ("Product", "Bought together", "Cart"):
        page.locator("#surfaces").get_by_text(surface, exact=True).click()
        expect(page.locator("#status")).to_contain_text("items in")
        expect(page.locator("#list li.tile")).not_to_have_count(0)
        expect(page.locator("#list li.waiting")).to_have_count(0)
        expect(page.locator("#facts")).to_contain_text("about items")
    page.locator("#surfaces").get_by_text("My items", exact=True).click()
    pick(page, "Items", "item 3", "Item 3")
    pick(page, "Items", "i039", "Item 39")  # sold out
    expect(page.locator("#chosen li")).to_have_count(3)
    expect(page.locator("#facts")).to_contain_text("i039: out_of_stock")
    assert "i039" not in ids(page)
    page.locator("#chosen button").first.click()
    expect(page.locator("#chosen li")).to_have_count(2)


@pytest.mark.browser
def test_a_missing_item_is_explained_by_what_keeps_it_out(site, tab):
    page = tab.opened(site)
    ready(page)
    page.get_by_label("Why is an item not there?").fill("item 39")
    option_of(page, "Item 39").click()
    expect(page.locator("#why-title")).to_have_text("Why Item 39")
    expect(page.locator("#why-body")).to_contain_text("Not shown: out_of_stock.")


@pytest.mark.browser
def test_everything_can_be_done_with_the_keyboard(site, tab):
    page = tab.page
    page.goto(f"{site.address}/console")
    press, focused = page.keyboard.press, lambda what: page.evaluate(f"document.activeElement.{what}")
    page.keyboard.type(site.key)  # the field has the focus
    press("Enter")
    ready(page)
    for _ in range(20):
        press("Tab")
        if focused("id") == "visitor":
            break
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.type("u005")
    expect(option_of(page, "User u005")).to_have_attribute("aria-selected", "true")
    press("Enter")
    expect(page.locator("#visitor")).to_have_value("User u005")
    expect(page.locator("#list li.waiting")).to_have_count(0)
    ready(page)
    while focused("dataset.part") != "face":
        press("Tab")
    press("Home")
    press("ArrowRight")
    press("ArrowDown")
    columns = page.locator("#list").evaluate("list => getComputedStyle(list).gridTemplateColumns.split(' ').length")
    tile = page.locator("#list li").nth(1 + columns)
    item, name = tile.get_attribute("data-id"), tile.locator(".name").inner_text()
    assert focused("closest('li').dataset.id") == item
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    press("Enter")
    expect(page.locator("#why-title")).to_have_text(f"Why {name}")
    press("c")
    expect(page.locator("#status")).to_contain_text("from the acknowledged event")
    expect(page.locator("#history li").first).to_contain_text(name)
    assert focused("dataset.part") == "face"  # whatever moved, one goes on from a tile


@pytest.mark.browser
def test_at_phone_width_nothing_hangs_over(site, tab, bundles):
    tab.page.set_viewport_size({"width": 360, "height": 780})
    page = tab.opened(site)

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        over = page.evaluate(
            "[...document.querySelectorAll('main *, header *')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > 361"
            " && !e.closest('.options')).map(e => e.outerHTML.slice(0, 80))"
        )
        assert over == []

    ready(page)
    fits()
    page.get_by_label("Visitor").click()
    expect(option_of(page, "")).to_be_visible()
    fits()
    page.keyboard.press("Escape")
    page.get_by_label("Beside").select_option(bundles[1].name)
    expect(page.locator("#other-list li.tile")).to_have_count(12, timeout=20_000)
    fits()
    page.locator("#list .face").nth(4).click()
    expect(page.locator("#why-title")).to_be_focused()
    expect(page.locator("#why-title")).to_be_in_viewport()
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#list-title")).to_be_in_viewport()


@pytest.mark.browser
def test_a_wrong_key_is_asked_for_again_and_not_kept(site, tab):
    page = tab.opened(site, key="aisle_wrong")
    expect(page.locator("#key-trouble")).to_contain_text("a key that is not live")
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0
    expect(page.locator("#desk")).to_be_hidden()
    assert tab.complaints
    assert all("401" in said for said in tab.complaints)
    tab.complaints.clear()
    page.get_by_label("Key", exact=True).fill(site.key)
    page.keyboard.press("Enter")
    ready(page)
    page.reload()  # the tab remembers
    ready(page)
    assert site.key not in page.content()
    page.get_by_role("button", name="Key").click()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.browser
def test_a_key_that_only_reads_sees_lists_and_is_told_what_it_may_not(site, tab):
    secret, key = ApiKey.make("shop", [Scope.READ], now=datetime.now(UTC))
    KeyFile().with_key(key).write(site.home / "api_keys.json")
    time.sleep(1.1)  # the service looks at the file once a second
    page = tab.opened(site, key=secret)
    ready(page)
    expect(page.locator("#history")).to_contain_text("keys with the scope admin only")
    expect(page.get_by_label("Beside")).to_be_disabled()
    page.get_by_role("button", name="View: ").first.click()
    expect(page.locator("#trouble")).to_contain_text("This key may not do that.")
    assert all("403" in said for said in tab.complaints)
    tab.complaints.clear()


@pytest.mark.browser
def test_before_the_first_release_it_says_what_to_run_and_goes_on_when_there_is_one(tmp_path, bundles, tab):
    with running(ServiceSettings(home=tmp_path, poll_seconds=0.05)) as site:
        page = tab.opened(site)
        expect(page.locator("#trouble")).to_contain_text("Not now. Nothing is released yet.")
        publish(bundles[0], releases=tmp_path / "releases", now=NOW)
        expect(page.locator("#trouble")).to_contain_text("make demo")
        deadline = time.monotonic() + 20
        while page.request.get(f"{site.address}/readyz").status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        page.get_by_role("button", name="Ask again").click()
        ready(page)
        expect(page.locator("#trouble")).to_be_hidden()
        tab.leave()
    assert all("503" in said for said in tab.complaints)
    tab.complaints.clear()


@pytest.mark.browser
def test_too_many_requests_are_told_with_the_time_to_wait(home, tab):
    with running(ServiceSettings(home=home, rate_per_second=0.1, rate_burst=16)) as site:
        page = tab.opened(site)
        ready(page)
        for _ in range(4):
            page.get_by_label("How many").select_option("24")
            page.get_by_label("How many").select_option("8")
        expect(page.locator("#trouble")).to_contain_text("Too many requests.")
        expect(page.locator("#trouble")).to_contain_text(re.compile(r"Ask again in \d+ s\."))
        tab.leave()
    assert all("429" in said for said in tab.complaints)
    tab.complaints.clear()


@pytest.mark.browser
def test_names_of_items_are_text_and_pictures_are_shown_where_there_are_some(tmp_path, bundles, tab):
    publish(with_items(bundles[0], tmp_path, hostile), releases=tmp_path / "releases", now=NOW)
    tab.page.route("https://pictures.test/*", lambda route: route.fulfill(body=PIXEL, content_type="image/png") if route.request.url == PICTURE else route.abort())  # fmt: skip
    with running(ServiceSettings(home=tmp_path)) as site:
        page = tab.opened(site)
        ready(page)
        expect(page.locator("#list .name").first).to_have_text(HOSTILE)
        expect(page.locator("#history .event-item").first).to_have_text(HOSTILE)
        expect(page.locator("#why-title")).to_have_text(f"Why {HOSTILE}")
        page.get_by_label("Visitor").click()
        option_of(page, "A new visitor").click()  # items of every category, so of every kind of picture
        expect(page.locator("#history")).to_contain_text("a cold start")
        expect(page.locator(f'#list img[src="{NO_PICTURE}"]')).to_have_count(0)
        loaded = page.locator(f'#list img[src="{PICTURE}"]')
        expect(loaded).not_to_have_count(0)
        assert loaded.first.evaluate("image => image.complete && image.naturalWidth > 0")
        page.get_by_label("Why is an item not there?").fill("onerror")
        expect(option_of(page, "")).to_contain_text(HOSTILE)
        assert page.evaluate("window.hacked") is None
        tab.leave()
    blocked = [said for said in tab.complaints if "javascript:" in said or "ERR_FAILED" in said]
    assert blocked == tab.complaints  # what the picture's address was refused for, and the one that is not there
    tab.complaints.clear()


class _Scripts(HTMLParser):
    """What a page would run or style by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.loaded: list[str] = []
        self.labelled: set[str] = set()
        self.fields: set[str] = set()
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.inline += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.inline += [tag] if tag == "style" else []
        self._in_script = tag == "script"
        self.loaded += [
            values[name] or "" for name in ("src", "href") if tag in ("script", "link", "img") and name in values
        ]
        if tag == "label":
            self.labelled.add(values.get("for") or "")
        if tag in ("input", "select"):
            self.fields.add(values.get("id") or "")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)


def test_the_page_holds_no_inline_code_loads_only_its_own_files_and_labels_every_field(repository):
    page = _Scripts()
    page.feed((repository / "serving" / "console" / "index.html").read_text())
    assert page.inline == []
    assert {f"/{path}" for path in page.loaded} <= CONSOLE
    assert page.fields == page.labelled


def test_every_file_of_the_console_is_served_with_a_strict_policy_and_without_a_key(client, repository):
    files = {path.name for path in (repository / "serving" / "console").iterdir()}
    assert {f"/console/{name}" for name in files - {"index.html"}} | {"/console"} == CONSOLE
    for path in sorted(CONSOLE):
        answer = client.get(path, headers={"Authorization": ""})
        assert answer.status_code == 200
        policy = dict(rule.partition(" ")[::2] for rule in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_scripts_of_the_console_call_nobody_else(repository):
    for path in (repository / "serving" / "console").glob("*.js"):
        assert (
            re.findall(
                r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage",
                path.read_text(),
            )
            == []
        )


@pytest.mark.parametrize("path", ["/console/", "/console/nothing.js", "/console/..%2fapp.py", "/console/%2e%2e/app.py"])
def test_there_is_no_way_from_the_console_to_other_files(client, path):
    assert client.get(path, headers={"Authorization": ""}, follow_redirects=False).status_code == 401


def test_a_shop_that_wants_no_console_has_none(tmp_path):
    from tests.serving.conftest import TestClient

    with TestClient(create_app(ServiceSettings(home=tmp_path, console=False))) as client:
        assert client.get("/console", headers={"Authorization": ""}).status_code == 401
        assert client.get("/console").status_code == 404
