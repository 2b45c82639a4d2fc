"""`python -m canonsim` is the command line."""

import sys

from canonsim.cli import main

sys.exit(main())
