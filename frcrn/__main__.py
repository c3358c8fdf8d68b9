"""`python -m frcrn` is the command line."""

import sys

from frcrn.cli import main

if __name__ == "__main__":
    sys.exit(main())
