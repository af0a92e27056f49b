"""`python -m stabilitysweep`: see `stabilitysweep.cli`."""

import sys

if __name__ == "__main__":
    try:
        from stabilitysweep.cli import main

        code = main()
    except KeyboardInterrupt:  # in the middle of an import, before anybody listens
        code = 130
    sys.exit(code)
