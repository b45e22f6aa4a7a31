"""The browsable pages of projects, for those who are logged in."""

import pytest

from tests.core.conftest import Cast
from tests.core.projects.helpers import PREFIXES, path_of
from tests.support.contract import CheckedClient


@pytest.mark.parametrize("prefix", PREFIXES)
def test_projects_are_pages_in_a_browser(cast: Cast, prefix: str) -> None:
    client = CheckedClient()
    client.force_login(cast.owner)
    for path in (f"{prefix}/", path_of(cast.team, prefix), f"{path_of(cast.team, prefix)}activity/"):
        response = client.get(path, headers={"Accept": "text/html"})
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/html")
