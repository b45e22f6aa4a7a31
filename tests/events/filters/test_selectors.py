"""Selectors: what is read from their text, and what is refused."""

import pytest

from events.filters.errors import FilterError
from events.filters.selectors import LONGEST_SELECTOR, Compound, read_selector


@pytest.mark.parametrize(
    ("text", "compounds"),
    [
        ("a", [Compound("a")]),
        ("*", [Compound()]),
        ("a.btn.-x", [Compound("a", ("btn", "-x"))]),
        (r".md\:flex", [Compound(None, ("md:flex",))]),
        (r".\31 st", [Compound(None, ("1st",))]),
        (r".px-1\.5", [Compound(None, ("px-1", "5"))]),
        ("#buy", [Compound(attributes=((("attr_id", "attr__id"), "buy"),))]),
        ('[id="a b"]', [Compound(attributes=((("attr_id", "attr__id"), "a b"),))]),
        ("[data-k='a\"]b']", [Compound(attributes=((("data-k", "attr__data-k"), 'a"]b'),))]),
        ("a[ href = x ]", [Compound("a", attributes=((("href", "attr__href"), "x"),))]),
        ("li:nth-child(02)", [Compound("li", attributes=((("nth-child",), "2"),))]),
        ("ul>li  a", [Compound("ul"), Compound("li", child=True), Compound("a")]),
        ("  div > *  ", [Compound("div"), Compound(child=True)]),
    ],
)
def test_a_selector_is_read(text: str, compounds: list[Compound]) -> None:
    assert list(read_selector(text).compounds) == compounds


@pytest.mark.parametrize(
    "text",
    ["", ">", "> a", "a >", "a > > b", "a + b", "a ~ b", "a, b", "a:hover", ":nth-child(2n+1)", ":not(a)", "a::before",
     "[a]", "[a^='b']", "[a='b' i]", "**", "a*", ".btn a*", "a.", "#", "a b\\", "[a='b", "(",
     "x" * (LONGEST_SELECTOR + 1), ".a" * 31],
)  # fmt: skip
def test_what_a_chain_cannot_answer_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="selector"):
        read_selector(text)


def test_an_escape_that_is_no_character_is_replaced() -> None:
    assert read_selector(r".\d800 \0 \110000").compounds == (Compound(None, ("\ufffd" * 3,)),)
