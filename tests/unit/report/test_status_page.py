"""The status as a page and as CSV: what servers and files say is text there and nothing else, whatever it is."""

import csv
import io
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.model.standing import AccountState, Change, Databases, Pending, Standing
from dbroster.model.state import PasswordCheck
from dbroster.report.exit_codes import Exit
from dbroster.report.status.formats import STATUS_FORMATS
from dbroster.report.status.page import as_page
from dbroster.report.status.spreadsheet import as_csv
from dbroster.report.status.view import View
from tests.support.browser import Browser

NOW = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
ATTACKS = (
    "<script>window.hurt = 1</script>",
    "</script><script>window.hurt = 1</script>",
    "<img src=x onerror='window.hurt = 1'>",
    "\"><svg onload=window.hurt=1>",
    "' onmouseover='window.hurt = 1",
    "</style><style>body { display: none }</style>",
    "</td></tr></table><h1>all is well</h1>",
    "<iframe src='javascript:parent.hurt=1'></iframe>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<!--", "-->", "<![CDATA[", "&lt;b&gt;", "&#60;b&#62;", "{policy}", "{0.__class__}",
    "\x1b[2J", "a\x00b", "a\nb\rc\td", "\u202egnp.exe", "\ud800",
)  # fmt: skip


def hostile(text: str) -> Standing:
    """A row that says the same in every place where a server or a file has the word."""
    pending = (Pending(Verb.CREATE_DATABASE, text, text, text),)
    databases = Databases((text,), (text,), (text,), (text,), (text,), (text,))
    change = Change(NOW, text, text)
    return Standing(
        text,
        True,
        AccountState.FOREIGN,
        text,
        NOW,
        NOW,
        None,
        databases,
        pending,
        (Problem(text, text, 1, text),),
        change,
    )


def view(*rows: Standing, **more: Any) -> View:
    given: dict[str, Any] = {
        "results": [Result("mysql", "default", True, rows=rows)],
        "code": Exit.INCOMPLETE,
        "now": NOW,
    }
    return View(**given | more)


def attacked(*texts: str) -> View:
    """A view that is hostile at every place."""
    rows = tuple(map(hostile, texts))
    results = [
        Result("mysql", text, True, rows=rows, problems=(Problem(f"{text}!", text, 3),), refusals=(text,), fatal=text)
        for text in texts
    ]
    return View(results, Exit.NOT_STARTED, NOW, unknown=texts, doubt=texts[0], sizes=True)


class Tags(HTMLParser):
    """All elements with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.other: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


def structure(page: str) -> list[tuple[str, tuple[tuple[str, str | None], ...]]]:
    """The elements of a page; nothing but them and text may stand in it."""
    tags = Tags(page)
    assert tags.other == []
    return tags.elements


@given(st.text(min_size=1) | st.sampled_from(ATTACKS))
def test_no_text_becomes_an_element_or_an_attribute(text: str) -> None:
    harmless = structure(as_page(attacked("harmless")))
    assert structure(as_page(attacked(text))) == harmless
    assert as_page(attacked(text)).isascii()
    names = {name for _, attributes in harmless for name, _ in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "href", "style", "action")}


def test_the_page_asks_nobody_for_anything() -> None:
    page = as_page(attacked("x"))
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert "unsafe" not in page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    calm = [
        Standing(
            name, True, AccountState.OPEN, password=PasswordCheck.SAME, sizes={"a": size}, databases=Databases(("a",))
        )
        for name, size in (("zoe", 9_000_000), ("Bob", 120_000_000), ("ann", 11_500_000))
    ]
    gone = Standing("eve", False, AccountState.LOCKED, problems=(Problem("look at it"),))
    path = tmp_path / "status.html"
    path.write_text(as_page(view(*calm, gone, sizes=True)))
    return path


USERS = "[...document.querySelectorAll('tbody tr:not([hidden]) th')].map(each => each.textContent)"


def test_hostile_texts_do_nothing_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    path.write_text(as_page(attacked(*ATTACKS)))
    with Browser(tmp_path / "profile") as browser:
        browser.open(path)
        for each in ("thead button", "#apart"):
            browser.run(f"document.querySelectorAll('{each}').forEach(each => each.click())")
        browser.run("document.querySelectorAll('*').forEach(each => each.dispatchEvent(new Event('mouseover')))")
        assert browser.run("window.hurt") is None
        assert browser.run("document.querySelectorAll('h1, script, style, img, svg, iframe, link').length") == 3
        assert browser.run("document.querySelectorAll('tbody tr').length") == len(ATTACKS) ** 2
        assert browser.run("getComputedStyle(document.body).display") == "block"
        asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        assert asked == [path.as_uri()]
        assert [e for e in browser.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")] == []


def test_the_policy_stops_what_would_get_through(tmp_path: Path) -> None:
    """If a text were not escaped, the page's policy would still keep a browser from running or loading it."""
    path = tmp_path / "status.html"
    leak = "".join(text for text in ATTACKS[:5]) + "<img src='data:,x'>"
    path.write_text(as_page(view()).replace("<h1>", f"{leak}<h1>"))
    with Browser(tmp_path / "profile") as browser:
        browser.open(path)
        assert browser.run("document.querySelectorAll('script').length") > 1, "nothing got in, so it proves nothing"
        assert browser.run("window.hurt") is None
        said = [event["params"]["entry"]["text"] for event in browser.events if event["method"] == "Log.entryAdded"]
        assert sum("Content Security Policy" in text for text in said) >= 3, said


def test_it_filters_and_sorts(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert browser.run(USERS) == ["Bob", "ann", "eve", "zoe"]
        click = "[...document.querySelectorAll('thead button')].find(each => each.textContent === '{}').click()"
        browser.run(click.format("user"))
        assert browser.run(USERS) == ["ann", "Bob", "eve", "zoe"]
        browser.run(click.format("MB"))
        assert browser.run(USERS) == ["zoe", "ann", "Bob", "eve"]  # by number; what is not known comes last
        browser.run(click.format("MB"))
        assert browser.run(USERS) == ["Bob", "ann", "zoe", "eve"]
        assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1
        browser.run("filter.value = 'BOB open'; filter.dispatchEvent(new Event('input'))")
        assert browser.run(USERS) == ["Bob"]
        assert browser.run("shown.textContent") == "1 of 4 rows"
        browser.run("filter.value = ''; filter.dispatchEvent(new Event('input')); apart.click()")
        assert browser.run(USERS) == ["eve"]


def test_it_is_light_dark_and_printable(page: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        colours = []
        for scheme in ("light", "dark"):
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            colours.append(browser.run("getComputedStyle(document.body).backgroundColor"))
        assert colours == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.call("Emulation.setEmulatedMedia", media="print", features=dark)
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert browser.run("getComputedStyle(controls).display") == "none"
        assert browser.call("Page.printToPDF")["data"]


# --- CSV --------------------------------------------------------------------------------------------------------------


@given(
    st.text()
    | st.sampled_from(("=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", '"'))
)
def test_no_cell_is_a_formula_and_every_line_has_every_cell(text: str) -> None:
    above, *lines = csv.reader(io.StringIO(as_csv(attacked(text)), newline=""))
    assert lines
    for line in lines:
        assert len(line) == len(above)
        for cell in line:
            assert cell.isprintable()
            assert not cell.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


def test_csv_has_a_column_for_each_fact() -> None:
    row = Standing("bob", True, AccountState.OPEN, password=PasswordCheck.SAME, databases=Databases(("bob_a", "bob_b")))
    down = Result("mongodb", "default", True, fatal="nobody answers")
    results = [Result("mysql", "maria", True, rows=(row,)), down]
    above, first, last = csv.reader(io.StringIO(as_csv(view(results=results)), newline=""))
    assert dict(zip(above, first, strict=True)) == {
        "user": "bob", "server": "mysql/maria", "account": "open", "locked since": "", "kept until": "",
        "password": "in step", "databases": "bob_a, bob_b", "missing": "", "surplus": "", "closed": "", "foreign": "",
        "left": "", "last change": "", "why": "",
    }  # fmt: skip
    assert last == [*[""] * (len(above) - 1), "error: mongodb: nobody answers"]


@given(st.text())
def test_a_terminal_gets_no_control_characters(text: str) -> None:
    assert STATUS_FORMATS["text"](attacked(text)).replace("\n", "").isprintable()
