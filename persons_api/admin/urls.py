"""The URLs below /admin/; importing this registers every list."""

from persons_api.admin import people, tenants, work
from persons_api.admin.site import site

registered = (people, tenants, work)
urlpatterns = site.get_urls()
