from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from core.tenancy.models import Team


@pytest.fixture
def team(db: None) -> "Team":
    """A project without members, known by its token only, which is all that capture looks at."""
    # Imported late: this file is read before Django is set up.
    from core.tenancy.models import Organization, Project, Team

    organization = Organization.objects.create(name="Acme", slug=f"acme-{uuid4().hex[:8]}")
    project = Project.objects.create(organization=organization)
    return Team.objects.create(id=project.id, project=project, organization=organization)
