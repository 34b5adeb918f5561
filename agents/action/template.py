"""A draft from facts alone: nothing stands in it that the profile or the posting does not say.

What an application needs and nobody told us is a gap, `[fill in: ...]`.
"""

from agents.domain.draft import Draft, DraftMethod
from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.domain.skill import canonical_skill

TEMPLATE_VERSION = 1
"""Another one for every change of what is written: drafts are cached."""

_ABOUT_SHOWN_MAX = 1_500
_SKILLS_SHOWN_MAX = 8

_OPENING = {
    Kind.JOB: "I am applying for the position “{title}”{at}.",
    Kind.INTERNSHIP: "I am applying for the internship “{title}”{at}.",
    Kind.GIG: "I would like to take on “{title}”{at}.",
    Kind.BOUNTY: "I would like to work on the bounty “{title}”{at}.",
    Kind.GRANT: "I am applying for “{title}”{at}.",
    Kind.HACKATHON: "I would like to take part in “{title}”{at}.",
}
_GAPS = {
    Kind.JOB: ("why this role and this employer", "when you can start"),
    Kind.INTERNSHIP: ("what you study and where", "the dates you are available"),
    Kind.GIG: ("a similar piece of work you have done", "your price and when you can deliver"),
    Kind.BOUNTY: ("how you would solve it", "when you can deliver"),
    Kind.GRANT: ("what you would do with the funding", "what it costs and how long it takes"),
    Kind.HACKATHON: ("what you would build", "your team, or that you look for one"),
}


def write_draft(opportunity: Opportunity, profile: Profile) -> Draft:
    """The template draft for one posting."""
    reason, practical = _GAPS[opportunity.kind]
    paragraphs = [
        _greeting(opportunity),
        _opening(opportunity),
        _skills(opportunity, profile),
        _about(profile),
        f"[fill in: {reason}]",
        " ".join(filter(None, (_place(opportunity, profile), f"[fill in: {practical}]"))),
        "Kind regards\n[fill in: your name and how to reach you]",
    ]
    text = "\n\n".join(p for p in paragraphs if p)
    return Draft(opportunity_id=opportunity.id, method=DraftMethod.TEMPLATE, text=text)


def _greeting(opportunity: Opportunity) -> str:
    if opportunity.organisation:
        return f"Hello {opportunity.organisation} team,"
    return "Hello,"


def _opening(opportunity: Opportunity) -> str:
    at = f" at {opportunity.organisation}" if opportunity.organisation else ""
    return _OPENING[opportunity.kind].format(title=opportunity.title, at=at)


def _skills(opportunity: Opportunity, profile: Profile) -> str:
    if not profile.skills:
        return "[fill in: your skills that matter here]"
    asked = set(opportunity.skills)
    shared = [s for s in profile.skills if canonical_skill(s) in asked]
    others = [s for s in profile.skills if s not in shared]
    if not shared:
        return (
            f"I work with {_listed(others[:_SKILLS_SHOWN_MAX])}. "
            "[fill in: how that helps here; the posting names none of these]"
        )
    line = f"You ask for {_listed(shared[:_SKILLS_SHOWN_MAX])}, which I work with"
    rest = others[: max(0, _SKILLS_SHOWN_MAX - len(shared))]
    line += f", besides {_listed(rest)}." if rest else "."
    return f"{line} [fill in: a result of yours that shows it]"


def _about(profile: Profile) -> str:
    about = profile.about.strip()
    if len(about) > _ABOUT_SHOWN_MAX:
        return about[:_ABOUT_SHOWN_MAX].rsplit(" ", 1)[0] + " …"
    return about


def _place(opportunity: Opportunity, profile: Profile) -> str:
    """Where the person is, when they said so and it is a matter of place at all."""
    based = f"Places that suit me: {_listed(profile.locations)}." if profile.locations else ""
    if opportunity.remote and profile.remote:
        return f"{based} Working remotely suits me.".strip()
    return based


def _listed(words: tuple[str, ...] | list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
