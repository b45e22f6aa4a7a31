"""Pages of lists that nobody counts."""

from typing import Any, Final

from django.core.paginator import EmptyPage, Page, Paginator

MAX_PAGES: Final = 200
"""How far back a list goes: what lies further is found by searching, not by reading on."""
_MANY: Final = 10**9


class UncountedPage(Page):  # type: ignore[type-arg]  # not generic at run time
    """A page that knows whether another follows because one row more was read."""

    def __init__(self, rows: list[Any], number: int, paginator: "Paginator[Any]", *, more: bool) -> None:
        """Keep the rows of this page."""
        super().__init__(rows, number, paginator)
        self.more = more

    def has_next(self) -> bool:
        """Tell whether another page follows."""
        return self.more


class UncountedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Reads one page and never counts: `count(*)` of a large table takes longer than all the rest."""

    template_name = "operator/pagination.html"
    count = _MANY

    @property
    def num_pages(self) -> int:
        """Return the number of pages that may be asked for."""
        return MAX_PAGES

    def page(self, number: int | str) -> "Page[Any]":
        """Read one page; raise EmptyPage beyond MAX_PAGES."""
        wanted = self.validate_number(number)
        if wanted > MAX_PAGES:
            message = f"There are no pages after {MAX_PAGES}."
            raise EmptyPage(message)
        bottom = (wanted - 1) * self.per_page
        rows = list(self.object_list[bottom : bottom + self.per_page + 1])
        self.read = UncountedPage(rows[: self.per_page], wanted, self, more=len(rows) > self.per_page)
        return self.read
