"""``python -m canonsim.demo``, the same as ``canonsim demo``."""

from __future__ import annotations

import sys

from canonsim.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
