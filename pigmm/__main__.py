"""``python -m pigmm`` is the same as the command ``pigmm``."""

import sys

from pigmm.cli import main

if __name__ == "__main__":
    sys.exit(main())
