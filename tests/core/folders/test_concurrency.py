"""Two requests of one user at the same moment: one folder of a type, and never a 500."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.folders.models import PersistedFolder
from tests.core.conftest import Cast
from tests.core.folders.conftest import Folders
from tests.core.http import parsed
from tests.core.roles.test_concurrency import at_once

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 8


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_parallel_inserts_make_one_folder(cast: Cast, pool: ThreadPoolExecutor) -> None:
    for number in range(ROUNDS):
        PersistedFolder.unscoped.all().delete()
        paths = [f"{number}-{index}" for index in range(4)]
        answers = at_once(
            pool,
            *(
                lambda path=path: Folders(cast.as_owner(), cast.team, cast.owner).send(  # type: ignore[misc]
                    "POST", body={"type": "home", "path": path}
                )
                for path in paths
            ),
        )
        assert [answer.status_code for answer in answers] == [201] * 4
        (folder,) = PersistedFolder.unscoped.all()
        assert {parsed(answer)["id"] for answer in answers} == {str(folder.id)}
        assert folder.path in paths


def test_two_folders_that_want_the_same_type(cast: Cast, pool: ThreadPoolExecutor) -> None:
    folders = Folders(cast.as_owner(), cast.team, cast.owner)
    for _ in range(ROUNDS):
        PersistedFolder.unscoped.all().delete()
        ids = [folders.make(kind)["id"] for kind in ("pinned", "custom_products")]
        answers = at_once(
            pool,
            *(
                lambda folder_id=folder_id: Folders(cast.as_owner(), cast.team, cast.owner).send(  # type: ignore[misc]
                    "PATCH", folder_id, {"type": "home"}
                )
                for folder_id in ids
            ),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        assert PersistedFolder.unscoped.filter(type="home").count() == 1
