"""Only the stores, for development: `python -m persons_api.embedded --data-dir DIR` prints their URLs and waits."""

import argparse
import signal
import sys
import time
from pathlib import Path

from persons_api.embedded.process import StartError, tail
from persons_api.embedded.stores import EmbeddedStores


def main() -> int:
    """Start all three stores and keep them until a signal comes or one ends."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--data-dir", type=Path, required=True)
    reader.add_argument("--throwaway", action="store_true", help="faster, may lose data when the machine stops")
    given = reader.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        with EmbeddedStores(given.data_dir, throwaway=given.throwaway) as stores:
            for name, url in stores.urls.items():
                print(f"export {name}='{url}'", flush=True)  # noqa: T201 the program's output
            while (ended := stores.ended()) is None:
                time.sleep(0.3)
            print(f"{ended.name} ended:\n{tail(ended.log)}", file=sys.stderr)  # noqa: T201
            return 1
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
