"""The operator's admin in windows of several widths."""

import pytest

from tests.browser.conftest import Page
from tests.support.processes import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("servers")]

LISTS = ("organization", "team", "user", "deletionrequest", "deletionrun", "activitylog")


@pytest.fixture
def erased(server: RunningServer) -> None:
    """A project of a long name that was erased, so that there is a receipt."""
    server.manage("provision", "--project", "A" * 200)
    program = (
        "from core.projects.deleting import projects_delete\n"
        "from core.tenancy.models import Team\n"
        "team = Team.objects.latest('pk')\n"
        "projects_delete(organization_id=team.organization_id, team_ids=[team.pk], user_id=None)\n"
    )
    server.manage("shell", "-c", program)
    server.manage("run_deletions")


def resize(page: Page, width: int) -> None:
    """Give the page itself this width, below the narrowest that a window may have."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[no-untyped-call]


def widest(page: Page) -> int:
    return int(page.driver.execute_script("return document.documentElement.scrollWidth"))  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("erased")
def test_no_page_is_wider_than_a_telephone(page: Page) -> None:
    page.sign_in()
    page.until(lambda: page.driver.current_url.endswith("/api/"))
    resize(page, 390)
    for name in LISTS:
        page.open(f"/admin/core/{name}/")
        page.find("#result_list")
        assert widest(page) <= 390, name
        one = page.all("#result_list a[href*='/change/']")[0].get_attribute("href")
        page.driver.get(str(one))
        page.find("#content fieldset")
        assert widest(page) <= 390, one


def test_the_navigation_is_there_on_a_laptop(page: Page) -> None:
    page.sign_in()
    page.until(lambda: page.driver.current_url.endswith("/api/"))
    resize(page, 1280)
    for path in ("/admin/", "/admin/core/activitylog/"):
        page.open(path)
        assert page.find("#nav-sidebar a[href='/admin/core/team/']")
        assert not page.all("#sections") or not page.all("#sections")[0].is_displayed()
    toggle = "span[x-on\\:click='sidebarToggle()']"
    page.find(toggle).click()
    page.until(lambda: not page.all("#nav-sidebar")[0].is_displayed())
    page.open("/admin/core/user/")
    page.find("#result_list")
    assert not page.all("#nav-sidebar")[0].is_displayed()
    page.find(toggle).click()
    page.find("#nav-sidebar a[href='/admin/core/team/']")
    resize(page, 1000)
    page.open("/admin/")
    assert page.find("#sections a[href='/admin/core/team/']")
