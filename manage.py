#!/usr/bin/env python
"""Django's command line for persons-api."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
    from persons_api.command_line import run

    run(sys.argv)


if __name__ == "__main__":
    main()
