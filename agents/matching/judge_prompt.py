"""The question that asks a model to judge postings, packed so that it costs a bounded number of
tokens: what is longest is cut first."""

import json
from collections.abc import Mapping

from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.llm.port import Message, Prompt, Role, Schema
from agents.llm.quoting import quoted
from agents.llm.tokens import cut_to, level, tokens_of

PROMPT_TOKENS_MAX = 3_200
ANSWER_TOKENS_MAX = 1_100
_PERSON_TOKENS_MAX = 500
_SCHEMA_TOKENS = 14
"""What the schema has for each posting, beside some words of its own."""
_TEXT_TOKENS_MIN = 8
_JUDGEMENT = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["score", "why"],
    "additionalProperties": False,
}


def judging_prompt(
    told: str, profile: Profile, query: str, postings: Mapping[str, Opportunity]
) -> Prompt:
    """The prompt for the postings under the names that the answer has to use."""
    person = _person(profile, query)
    heads = {name: _head(o) for name, o in postings.items()}
    fixed = tokens_of(told) + tokens_of(person) + 60 + _SCHEMA_TOKENS * len(postings)
    fixed += sum(map(tokens_of, heads.values()))
    texts = {name: _text(o) for name, o in postings.items()}
    height = level([tokens_of(text) for text in texts.values()], max(0, PROMPT_TOKENS_MAX - fixed))
    lines = [_line(name, heads[name], texts[name], height) for name in postings]
    question = f"The person:\n{person}\nThe postings:\n" + "\n".join(lines)
    return Prompt(
        purpose="match",
        messages=(
            Message(role=Role.SYSTEM, text=told),
            Message(role=Role.USER, text=question),
        ),
        answer_tokens_max=ANSWER_TOKENS_MAX,
        schema=Schema(name="judgements", body=_schema(postings)),
    )


def _schema(postings: Mapping[str, Opportunity]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/judgement"} for name in postings},
        "required": list(postings),
        "additionalProperties": False,
        "$defs": {"judgement": _JUDGEMENT},
    }


def _person(profile: Profile, query: str) -> str:
    """The person in a bounded number of tokens: the about text and the skills are cut last word
    first."""
    facts: dict[str, object] = {
        "asks_for": query,
        "kinds": [kind.value for kind in profile.kinds],
        "places": list(profile.locations),
        "remote": profile.remote or None,
        "least_pay": None if profile.min_pay is None else str(profile.min_pay),
    }
    bare = cut_to(_json(facts), _PERSON_TOKENS_MAX // 2)
    skills = quoted(", ".join(profile.skills), _PERSON_TOKENS_MAX)
    about = quoted(profile.about, _PERSON_TOKENS_MAX)
    height = level([tokens_of(skills), tokens_of(about)], _PERSON_TOKENS_MAX - tokens_of(bare))
    told = _json({"skills": cut_to(skills, height), "about": cut_to(about, height)})
    return f"{bare}\n{told}"


def _head(o: Opportunity) -> str:
    """A posting's facts. No link, and nothing that talks to the model."""
    facts: dict[str, object] = {
        "title": quoted(o.title, 30),
        "at": quoted(o.organisation, 12),
        "kind": o.kind.value,
        "places": quoted(", ".join(o.locations), 16),
        "remote": o.remote,
        "pay": quoted(o.pay.text, 10) if o.pay else None,
        "skills": quoted(", ".join(o.skills), 24),
    }
    return _json(facts)


def _text(o: Opportunity) -> str:
    return quoted(o.description, PROMPT_TOKENS_MAX)


def _line(name: str, head: str, text: str, height: int) -> str:
    """A posting's line; of a text that is cut to a few words nothing is said."""
    shown = cut_to(text, height)
    if not shown or (shown != text and height < _TEXT_TOKENS_MIN):
        return f"{name} {head}"
    return f"{name} {head} {json.dumps(shown, ensure_ascii=False)}"


def _json(facts: Mapping[str, object]) -> str:
    """The facts that there are, as JSON."""
    said = {name: fact for name, fact in facts.items() if fact not in (None, "", [])}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
