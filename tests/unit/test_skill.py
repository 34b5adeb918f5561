"""Skill names: what they are called, lists of them, and those that a text names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.domain.skill import (
    ambiguous_name,
    canonical_skill,
    known_skill,
    nearest_skill,
    skills_in,
    split_skills,
)

SKILL_TEXTS = st.lists(
    st.one_of(
        st.sampled_from(["Postgres", "postgresql", "JS", "React", "go", "C++", " ", "Node  js"]),
        st.text(max_size=12),
    ),
    max_size=8,
).map(",".join)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Postgres", "postgresql"),
        ("PostgreSQL", "postgresql"),
        ("  psql ", "postgresql"),
        ("JS", "javascript"),
        ("py", "python"),
        ("Golang", "go"),
        ("k8s", "kubernetes"),
        ("Node JS", "node.js"),
        ("node   js", "node.js"),
        ("React.js", "react"),
        ("C Sharp", "c#"),
        ("CI/CD", "ci/cd"),
        ("tcp/ip", "computer networking"),
        ("machine-learning", "machine learning"),
        ("Power-BI", "power bi"),
        ("scikit-learn", "scikit-learn"),
        ("not-a-skill", "not-a-skill"),
        ("Underwater Basket Weaving", "underwater basket weaving"),
        ("", ""),
    ],
)
def test_one_name_for_each_skill(written: str, name: str) -> None:
    """Known aliases become one name; an unknown skill is only lower-cased."""
    assert canonical_skill(written) == name


@given(st.text(max_size=30))
def test_a_name_is_its_own_name(text: str) -> None:
    """The canonical name of a canonical name is itself."""
    assert canonical_skill(canonical_skill(text)) == canonical_skill(text)


@pytest.mark.parametrize(
    ("text", "skills"),
    [
        ("", ()),
        (" , ;\n ", ()),
        ("python, sql", ("python", "sql")),
        ("Python; SQL\nGo", ("Python", "SQL", "Go")),
        ("Postgres, psql, PostgreSQL", ("Postgres",)),
        ("machine   learning,ML", ("machine learning",)),
        ("CI/CD, C++", ("CI/CD", "C++")),
    ],
)
def test_a_list_is_split_into_skills(text: str, skills: tuple[str, ...]) -> None:
    """Each skill once, in the person's own words and order."""
    assert split_skills(text) == skills


@given(SKILL_TEXTS)
def test_splitting_again_changes_nothing(text: str) -> None:
    """A list that was split and joined splits into the same skills."""
    skills = split_skills(text)
    assert split_skills(", ".join(skills)) == skills


@pytest.mark.parametrize(
    ("text", "skills"),
    [
        ("", ()),
        ("We ship fast.", ()),
        ("Python and PostgreSQL, with Kafka.", ("python", "postgresql", "kafka")),
        ("Senior React/Node.js Engineer", ("react", "node.js")),
        ("We use CI/CD and A/B testing", ("ci/cd", "a/b testing")),
        ("experience in Go (golang)", ("go",)),
        ("ready to go the extra mile and express yourself", ()),
        ("You'll spark joy and rust never sleeps", ()),
        ("written in Rust, deployed with Helm", ("rust", "helm")),
        ("machine learning and Machine Learning", ("machine learning",)),
        ("Spring Boot, not Spring", ("spring boot", "spring")),
        ("C++, C# and .NET", ("c++", "c#", ".net")),
        ("“Kubernetes” (k8s)…", ("kubernetes",)),
        ("retrieval augmented generation", ("retrieval augmented generation",)),
        ("TypeScript/", ("typescript",)),
        ("Intern, Spring 2027 (Python)", ("python",)),
        ("2027 Spring Co-op, SQL", ("sql",)),
        ("Spring/Summer Intern, SQL", ("sql",)),
        ("Spring and Summer: SQL", ("sql",)),
        ("Java and Spring engineer", ("java", "spring")),
        ("deep-learning with power-bi", ("deep learning", "power bi")),
        ("Go-to-market lead", ()),
    ],
)
def test_skills_that_a_text_names(text: str, skills: tuple[str, ...]) -> None:
    """Known skills in order of appearance; everyday words only where written with a capital."""
    assert skills_in(text) == skills


@given(st.text(max_size=200))
def test_found_skills_are_canonical_and_unique(text: str) -> None:
    """Whatever the text, the skills found are canonical names, each once."""
    found = skills_in(text)
    assert len(set(found)) == len(found)
    assert tuple(map(canonical_skill, found)) == found


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("pyhton", "python"),
        ("kubernets", "kubernetes"),
        ("javascritp", "javascript"),
        ("postgress", "postgresql"),
        ("jaav", None),  # too short to tell
        ("underwater basket weaving", None),
        ("çççççç", None),
    ],
)
def test_a_mistyped_name_is_recognised(typed: str, meant: str | None) -> None:
    """One letter wrong in a longer word; short words and words of something else are left."""
    assert nearest_skill(typed) == meant


def test_names_are_known_and_some_are_everyday_words() -> None:
    """By any of a skill's names; short ones count as everyday words."""
    assert known_skill("k8s")
    assert not known_skill("knitting")
    assert ambiguous_name("spring")
    assert ambiguous_name("c#")
    assert not ambiguous_name("python")
