"""`python -m stabilitysweep`: see `stabilitysweep.cli`."""

import sys

from stabilitysweep.cli import main

if __name__ == "__main__":
    sys.exit(main())
