"""Markdown for merge requests, as a parser of its own sees it: nothing that a server says is more than a text."""

from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from markdown_it import MarkdownIt

from dbroster.model.plan import Action, Conflict, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result, Status
from dbroster.report.exit_codes import Exit
from dbroster.report.markdown import MOST_ACTIONS, as_markdown
from dbroster.report.report import Report
from tests.unit.report.test_by_user import gone, new, result
from tests.unit.report.test_formats import HOSTILE

OURS = {
    "h3",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "br",
    "strong",
    "ul",
    "li",
    "p",
    "details",
    "summary",
}


class Page(HTMLParser):
    """The elements and attributes of a page, and the text outside of code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.code = False
        self.plain = ""
        self.feed(MarkdownIt("gfm-like", {"linkify": False}).render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        self.code = self.code or tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self.code = self.code and tag != "code"

    def handle_data(self, data: str) -> None:
        self.plain += "" if self.code else data


def report(*results: Result, **more: Any) -> Report:
    return Report(results, [Exit.IN_STEP] * len(results), Exit.IN_STEP, **more)


def page(*results: Result, **more: Any) -> Page:
    return Page(as_markdown(report(*results, **more)))


def test_the_plan_of_a_merge_request() -> None:
    actions = [outcome._replace(status=Status.PLANNED) for outcome in new("ann") + gone("bob")]
    plan = result(actions, dry_run=True, users=3, unchanged=1, product="PostgreSQL 15.18", plan="0" * 24)
    text = as_markdown(report(plan, dry_run=True))
    assert text.startswith(
        "### dbroster: what a sync would do on <code>postgresql</code>\n"
        "\n"
        "|  | user | what |\n"
        "| --- | --- | --- |\n"
        "| **removal** | <code>bob</code> |"
        " <code>removed: 3 databases dropped &#40;analytics, tools, web&#41;</code> |\n"
        "| new | <code>ann</code> | <code>new: 3 databases</code> |\n"
        "\n"
        "| server | users | unchanged | changes | exit | plan |\n"
    )
    assert f"`--expect {'0' * 24}`" in text
    seen = Page(text)
    assert [seen.elements.count(element) for element in ("table", "details", "summary")] == [3, 1, 1]


def test_every_action_stands_in_the_list_removals_first_and_a_long_one_is_cut() -> None:
    plan = result([o for number in range(100) for o in new(f"u{number}")] + gone("bob"), dry_run=True)
    text = as_markdown(report(plan, dry_run=True))
    details = text.partition("<details>")[2].partition("</details>")[0]
    assert "<summary>705 actions</summary>" in details
    assert [line.split("<code>")[3][:4] for line in details.splitlines()[4:9]] == [
        "lock",
        "drop",
        "drop",
        "drop",
        "drop",
    ]
    assert details.count("\n| <code>") == MOST_ACTIONS
    assert "505 more" in details
    assert as_markdown(report(plan, dry_run=True, verbose=True)).count("<code>create&#95;database</code>") == 300


def test_quiet_and_silent() -> None:
    warned = result([], problems=(Problem("no TLS", warning=True),))
    assert as_markdown(report(warned, quiet=True)) == ""
    assert "Nothing to do." in as_markdown(report(warned))
    assert "<code>ann</code>" in as_markdown(report(result(new("ann")), quiet=True))
    assert as_markdown(report(result(new("ann")), quiet=True, silent=True)) == ""


def test_what_is_wrong_with_all_servers_is_told_once() -> None:
    wrong = {"problems": (Problem("no colon", "users.txt", 2),)}
    text = as_markdown(report(result([], "a", **wrong), result([], "b", fatal="no route", **wrong)))
    assert text.count("no colon") == 1
    assert "* <code>postgresql b</code> <code>error: no route</code>" in text


@given(text=HOSTILE)
def test_nothing_that_a_server_says_is_more_than_a_text(text: str) -> None:
    """Neither an element, nor a link, a mention, a reference, a cell or a line of its own."""
    action = Action(Verb.DROP_DATABASE, text, text, reason=text)
    evil = f"{text}<img src=x>[a](http://b)|@all #1 !2 **b** `c` ~~d~~\n| e |\n* f\n# g"
    for said in (text, evil):
        found = Result(
            "postgresql", said, dry_run=False, product=said,
            outcomes=(Outcome(action, Status.DONE), Outcome(action, Status.FAILED, said, said)),
            problems=(Problem(said, said, 1, said),), conflicts=(Conflict(said, said),), refusals=(said,), fatal=said,
        )  # fmt: skip
        seen, harmless = page(found), page(_harmless(found))
        assert set(seen.elements) <= OURS
        assert seen.attributes == []
        assert [e for e in seen.elements if e not in ("code", "br")] == [
            e for e in harmless.elements if e not in ("code", "br")
        ]
        assert not any(mark in seen.plain for mark in ("@", "#", "http"))


def _harmless(found: Result) -> Result:
    action = Action(Verb.DROP_DATABASE, "bob", "bob_web", reason="x")
    outcomes = (Outcome(action, Status.DONE), Outcome(action, Status.FAILED, "x", "x"))
    return found._replace(
        server="x", product="x", outcomes=outcomes, problems=(Problem("x", "x", 1, "x"),),
        conflicts=(Conflict("x", "x"),), refusals=("x",), fatal="x",
    )  # fmt: skip
