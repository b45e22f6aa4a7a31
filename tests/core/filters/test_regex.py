"""RE2 patterns in Postgres: the same texts match, and what Postgres cannot have is refused."""
# ruff: noqa: RUF001 letters that look alike are the point

import pytest
import re2
from django.db import connection

from core.filters import charsets
from core.filters.regex import LARGEST_SIZE, replaces_alike, translate
from events.filters.errors import FilterError

TEXTS = [
    "", "a", "ab", "A\nb", "k\u212a", "ſs", "12 foo_bar", "é à", "Ünï", "\n", "a]b", "x{2}", "[", "-", "Straße ẞ",
    "日本", "b\na", "aaa", "ab12", "\t\x0b", "{", ".*", "Ꭰꭰ", "ΐ\u1fd3", "a" * 300 + "b",
]  # fmt: skip
PATTERNS = [
    "a", "^a", "a$", "(?m)^b$", "(?i)K", "(?i)[k-s]+", "(?i)[^k]", r"\bfoo", r"\Bb", "[[:alpha:]]+", "[[:^alpha:]]",
    r"\pL\pL", r"\p{Greek}", r"\p{^L}", r"\P{L}", "[^a]", ".", "(?s).", "(?s:a.)b", r"\Qx{2}\E", r"\Qa]b", "x{2}",
    "a{2,}", "a{0,600}b", "a{299}b", "a{301}b", "(a|ab)(c|)", "(?:)", "a||b", r"\x{65E5}", r"\141", "[]a]", r"[a\]]",
    "[a-]", "(?P<n>a)b", "(?i:A)b", "a{,2}", r"\d+\s\w", r"[\d-]", "$^", "^*", "(^)*a", "(?i)straße", r"\z",
    "(?U)a+?", r"[^\x00-\x{10FFFF}]", "a.b", r"\v", r"\.\*", "(?i)ß", "(?i)[[:upper:]]", r"(?i)\p{Lu}", r"(?i)ꭰ",
    "(?i)\u1fd3", r"[^\d\s]", r"(?i)\W", r"\p{Any}", "(a(?i)B)", "(?is-m).", "a(?i)*b", "^a(?s)+$",
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", PATTERNS)
def test_postgres_matches_what_re2_matches(pattern: str) -> None:
    compiled = re2.compile(pattern)
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT t COLLATE "C" ~ %s FROM unnest(%s::text[]) WITH ORDINALITY AS u(t, n) ORDER BY n',
            [translate(pattern), TEXTS],
        )
        found = [row[0] for row in cursor.fetchall()]
    assert found == [bool(compiled.search(text)) for text in TEXTS]


def test_every_letter_has_the_cases_that_re2_gives_it() -> None:
    cased = [chr(code) for low, high in charsets.unicode_class("L") for code in range(low, high + 1)]
    cased += [
        chr(code)
        for low, high in (*charsets.unicode_class("M"), *charsets.unicode_class("So"))
        for code in range(low, high + 1)
    ]
    cased += [chr(code) for low, high in charsets.unicode_class("Nl") for code in range(low, high + 1)]
    cased = [
        letter
        for letter in cased
        if letter.lower() != letter or letter.upper() != letter or letter.casefold() != letter
    ]
    text = "".join(cased)
    for letter in cased:
        alike = {ord(other) for other in re2.findall(rf"(?i:\x{{{ord(letter):x}}})", text)}
        ours = {code for low, high in charsets.folded(((ord(letter), ord(letter)),)) for code in range(low, high + 1)}
        assert ours == alike | {ord(letter)}, letter


@pytest.mark.parametrize("pattern", [r"\C", "a{1000}b{2}", "(?:a{500}){3}", "((a{100}){100})"])
def test_what_postgres_cannot_have_is_refused(pattern: str) -> None:
    with pytest.raises(FilterError):
        translate(pattern)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "pattern", ["(?:a?){300}", "(a*)*b", "(.*a){40}b", r"\pL{900}", "(?i)[a-z]{0,990}$", "(?:a|b|ab){100}c", "(x+x+)+y"]
)
def test_the_largest_patterns_stay_cheap(pattern: str) -> None:
    assert LARGEST_SIZE <= 1000
    with connection.cursor() as cursor:
        # Hardly a second, but on a slow machine; what is not cheap takes minutes.
        cursor.execute("SET LOCAL statement_timeout = '30s'")
        cursor.execute(
            "SELECT count(*) FROM generate_series(1, 500) WHERE repeat('xab', 60) COLLATE \"C\" ~ %s",
            [translate(pattern)],
        )


@pytest.mark.parametrize(
    ("pattern", "alike"),
    [
        (r"/user/\d+", True),
        (r"/[0-9a-f]{8}-[0-9a-f]{4}", True),
        (r"/user/[^/]+/settings", True),
        (r"/user/.*", True),
        ("a|ab", False),
        ("a+?", False),
        (r"\d+1", False),
        ("a*", False),
        ("^/a", False),
    ],
)
def test_only_rules_that_replace_alike_are_taken(pattern: str, *, alike: bool) -> None:
    assert replaces_alike(pattern) is alike
