"""`python -m mull`: the same as the `mull` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
