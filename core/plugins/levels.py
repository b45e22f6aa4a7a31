"""What an organization may do with plugins."""

from enum import IntEnum


class PluginsAccessLevel(IntEnum):
    """The levels of `Organization.plugins_access_level`, as PostHog numbers them; each includes those below it."""

    NONE = 0
    CONFIG = 3
    """See plugins, and configure those that are installed."""
    INSTALL = 6
    """Install, change and uninstall plugins."""
    ROOT = 9
    """Make plugins global, for all organizations of the server."""
