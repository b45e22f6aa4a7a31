"""The URLs below /admin/; importing this registers every list."""

from persons_api.admin import people, plugins, tenants, work
from persons_api.admin.site import site

registered = (people, plugins, tenants, work)
urlpatterns = site.get_urls()
