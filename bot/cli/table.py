"""A scout's result as a terminal shows it."""

from datetime import datetime

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from agents.domain.match import Match
from agents.domain.run import ScoutResult
from bot.words import age_words, also_words, deadline_words, funnel_lines, pay_words, place_words


def print_result(result: ScoutResult, now: datetime) -> None:
    """Print matches, drafts, notices and the funnel to stdout."""
    console = Console(highlight=False)
    if result.matches:
        console.print(_table(result))
    for draft in result.drafts:
        match = next(m for m in result.matches if m.opportunity.id == draft.opportunity_id)
        console.rule(f"Draft for {match.rank}. {escape(match.opportunity.title)}", align="left")
        # Elsewhere its paragraphs stay whole, for whoever reads it next.
        console.print(escape(draft.text), soft_wrap=not console.is_terminal)
        console.rule()
    if result.status == "completed" and not result.matches:
        console.print("Nothing found that fits.")
    for notice in result.notices:
        console.print(f"[dim]• {escape(notice)}[/dim]")
    if result.funnel.found:
        console.print(f"[dim]• {escape('; '.join(funnel_lines(result.funnel)))}[/dim]")


def _table(result: ScoutResult) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    table.add_column("#", justify="right", vertical="top")
    table.add_column("Score", justify="right", vertical="top")
    table.add_column("Opportunity", overflow="fold", ratio=1)
    for match in result.matches:
        score = "–" if match.score is None else f"{match.score:.0f}"
        table.add_row(str(match.rank), score, Group(*_lines(match)))
    return table


def _lines(match: Match) -> list[str]:
    o = match.opportunity
    head = f"[bold]{escape(o.title)}[/bold]"
    if o.organisation:
        head += f" · {escape(o.organisation)}"
    facts = " · ".join((o.kind, place_words(o), pay_words(o.pay), deadline_words(o)))
    source = f"{match.provenance.source}, {age_words(match.provenance.age_s)}"
    lines = [head, escape(facts), f"[green]{escape('; '.join(match.reasons))}[/green]"]
    if match.cautions:
        lines.append(f"[yellow]! {escape('; '.join(match.cautions))}[/yellow]")
    link = f"[cyan]{escape(o.url)}[/cyan] " if o.url else ""
    also = f" · also at {also_words(o.also_at)}" if o.also_at else ""
    return [*lines, f"{link}[dim]({escape(source + also)})[/dim]", ""]
