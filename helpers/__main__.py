"""``python -m helpers``: the command ``fruit-features``."""

import sys

from helpers.cli import main

if __name__ == "__main__":
    sys.exit(main())
