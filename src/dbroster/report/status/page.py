"""The status as one page that needs nothing else: no network, no file beside it, and no script for what it tells.

What servers and files say is text and nothing else: it is escaped, and the browser runs and loads only what has the
hashes of `page_parts`.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape

from dbroster.model.standing import Standing
from dbroster.report.plain.text import printable
from dbroster.report.status.columns import RARE, headings, rows
from dbroster.report.status.page_parts import BODY, PAGE, SCRIPT, STYLE
from dbroster.report.status.view import View, beside_rows, minute


def as_page(view: View) -> str:
    """Return the page."""
    told = list(rows(view))
    shown = _columns(view, [cells for _, cells, _ in told])
    above = [headings(view)[column] for column in shown]
    body = BODY.format(
        when=minute(view.now),
        counted=_text(view.counted),
        beside="".join(f'<li class="{kind}">{_text(f"{kind}: {said}")}</li>' for kind, said in beside_rows(view)),
        headings="".join(f'<th scope="col"><button type="button">{_text(each)}</button></th>' for each in above),
        rows="".join(_row(row, [cells[column] for column in shown[:-1]], why) for row, cells, why in told),
    )
    return PAGE.format(policy=_policy(), style=STYLE, body=body, script=SCRIPT)


def _columns(view: View, cells: Sequence[Sequence[str]]) -> list[int]:
    """Return the places of the columns that are shown: what nobody has would only take the others' room."""
    above = headings(view)
    empty = [name in RARE and not any(row[place] for row in cells) for place, name in enumerate(above[:-1])]
    return [place for place, without in enumerate([*empty, False]) if not without]


def _policy() -> str:
    return (
        f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _row(row: Standing, cells: Sequence[str], why: Sequence[str]) -> str:
    user, *others = cells
    return "".join([
        "<tr>" if row.in_step else '<tr class="apart">',
        f'<th scope="row">{_text(user)}</th>',
        *(f"<td>{_text(cell)}</td>" for cell in others),
        f"<td>{''.join(_why(why))}</td></tr>\n",
    ])  # fmt: skip


def _why(texts: Sequence[str]) -> Iterator[str]:
    if texts:
        yield f"<ul>{''.join(f'<li>{_text(text)}</li>' for text in texts)}</ul>"


def _text(text: str) -> str:
    """Return a text that is nothing else, in ASCII: a terminal's encoding can't damage it."""
    return escape(printable(text)).encode("ascii", "xmlcharrefreplace").decode()
