"""What `dbroster import` tells: who and what fits a roster, what does not and why, and what comes next."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dbroster.plan.proposal import SHARED_BY, Proposal
from dbroster.report.plain.text import printable


def proposal_text(
    product: str, host: str, proposal: Proposal, written: Path | None, steps: Sequence[tuple[str, str]]
) -> str:
    """Return the report. `written`: where the proposal is; `steps`: commands that come next, each with what for."""
    lines = [
        f"{product} at {host}: looked at, nothing was changed there",
        *_templates(proposal),
        *_fits(proposal),
        *_misfits(proposal),
    ]
    if proposal.fits:
        lines += _warning(proposal)
    lines += ["", f"written: {written}" if written else "nothing was written"]
    if steps:
        width = max(len(command) for command, _ in steps)
        lines += ["next:", *(f"  {command:{width}}  # {what}" for command, what in steps)]
    return "".join(f"{printable(line)}\n" for line in lines)


def _templates(proposal: Proposal) -> Iterator[str]:
    yield ""
    if not proposal.templates:
        yield (
            f"no template: none of the endings of database names (USER_ENDING) that {SHARED_BY} accounts or more share "
            "belongs to one that can be taken over"
        )
        return
    yield f"templates (endings of database names that {SHARED_BY} accounts or more share, or that were asked for):"
    users = len(proposal.fits)
    yield from _table(
        ["template", "there", "to be created"],
        [(name, str(count), str(users - count)) for name, count in proposal.templates.items()],
    )


def _fits(proposal: Proposal) -> Iterator[str]:
    yield ""
    if not proposal.fits:
        yield "no account fits"
        return
    yield f"accounts that fit: {len(proposal.fits)}"
    yield from _table(
        ["account", "databases to be taken over", "to be created"],
        [(fit.name, ", ".join(fit.there), ", ".join(fit.missing) or "-") for fit in proposal.fits],
    )


def _misfits(proposal: Proposal) -> Iterator[str]:
    if proposal.misfits:
        yield ""
        yield f"what does not fit, and stays as it is: {len(proposal.misfits)}"
        yield from (f"  {misfit.kind} {_one_line(misfit.name)}: {misfit.reason}" for misfit in proposal.misfits)
    if proposal.ours:
        yield f"accounts that are this roster's already: {len(proposal.ours)}"
    yield f"left out: {proposal.system_accounts} accounts and {proposal.protected} databases of the server's own"


def _warning(proposal: Proposal) -> list[str]:
    missing = sum(len(fit.missing) for fit in proposal.fits)
    return [
        "",
        "To take an account over replaces its password by the new one: who uses the old one can't log in any more.",
        f"All data stays. Databases that are missing, and would be created: {missing}.",
        "Service accounts may be among them: look at each, and take out whom dbroster shall not manage.",
        "From then on a sync by another users.txt would remove them, with their data: keep the one of the proposal.",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [head, *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip()


def _one_line(text: str) -> str:
    """A server's name must not look like a line of ours."""
    return "".join(c if c.isprintable() else "?" for c in text)
