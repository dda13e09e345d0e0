"""What every status page is made of: its frame, its style, and the script that filters and sorts its rows."""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>dbroster status</title>
<style>{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""

BODY = """\
<h1>dbroster status</h1>
<p>{when}: {counted}</p>
<ul id="beside">{beside}</ul>
<form id="controls" hidden>
<label>Show rows with <input id="filter" type="search" autocomplete="off"></label>
<label><input id="apart" type="checkbox"> only what is not in step</label>
<output id="shown"></output>
</form>
<table>
<thead><tr>{headings}</tr></thead>
<tbody>
{rows}</tbody>
</table>"""

STYLE = """
:root { --text: #1b1f24; --back: #ffffff; --line: #d0d7de; --head: #f3f5f7; --apart: #fff1f0; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ee; --back: #14171b; --line: #3a414a; --head: #20252b; --apart: #3a1f1f; --wrong: #ff9a91; }
}
body { margin: 1rem; color: var(--text); background: var(--back); font: 15px/1.4 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
#beside:empty { display: none; }
.problem, .error, .refused, tr.apart th { color: var(--wrong); }
#controls { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; margin: .8rem 0; }
#controls[hidden] { display: none; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem; text-align: left; vertical-align: top; }
th, td { overflow-wrap: break-word; max-width: 30rem; }
td:last-child { min-width: 14rem; }
thead th { position: sticky; top: 0; background: var(--head); white-space: nowrap; }
thead button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; }
thead button { cursor: pointer; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tr.apart { background: var(--apart); }
td ul { margin: 0; padding-left: 1rem; }
@media print {
  :root { --text: #000; --back: #fff; --line: #999; --head: #fff; --apart: #fff; --wrong: #000; }
  #controls { display: none; }
  body { margin: 0; font-size: 9pt; }
  thead { display: table-header-group; }
  thead th { position: static; }
  tr { break-inside: avoid; }
  tr.apart th { font-weight: 900; text-decoration: underline; }
}
"""

SCRIPT = """
"use strict";
(() => {
  const body = document.querySelector("tbody"), rows = [...body.rows];
  const words = document.getElementById("filter"), apart = document.getElementById("apart");
  const texts = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
  const show = () => {
    const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = texts.get(row);
      row.hidden = (apart.checked && !row.classList.contains("apart")) || !wanted.every(word => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = shown + " of " + rows.length + " rows";
  };
  const order = new Intl.Collator(undefined, { numeric: true }).compare;
  const heads = [...document.querySelectorAll("thead th")];
  const sort = (head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keys = new Map(rows.map(row => [row, row.cells[column].textContent]));
    const compare = (a, b) => (!a - !b) || order(a, b) * (down ? -1 : 1);
    rows.sort((a, b) => compare(keys.get(a), keys.get(b)));
    const fragment = document.createDocumentFragment();
    rows.forEach(row => fragment.append(row));
    body.append(fragment);
  };
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sort(head, column)));
  words.addEventListener("input", show);
  apart.addEventListener("change", show);
  const controls = document.getElementById("controls");
  controls.addEventListener("submit", event => event.preventDefault());
  controls.hidden = false;
  show();
})();
"""
