"""The persons resource over HTTP: read the request, call one function, answer."""

from core.api.views import refused
from core.persons.views.batch import BatchView
from core.persons.views.changing import ChangingView
from core.persons.views.cohorts import CohortsView
from core.persons.views.deleting import DeletingView
from core.persons.views.identity import IdentityView
from core.persons.views.log import LogView
from core.persons.views.looking_back import LookingBackView
from core.persons.views.reading import ReadingView
from core.persons.views.values import ValuesView

NO_CREATE = (
    'Method "POST" not allowed. Persons are created by capturing events: '
    "send an $identify event to the capture API or use one of the SDKs."
)


class PersonViewSet(
    ReadingView,
    ChangingView,
    DeletingView,
    LookingBackView,
    ValuesView,
    IdentityView,
    BatchView,
    LogView,
    CohortsView,
):
    """Read, change and delete the persons of one project. Persons are made by capturing events."""

    create = refused(NO_CREATE)
