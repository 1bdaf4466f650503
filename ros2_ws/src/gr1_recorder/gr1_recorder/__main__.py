"""`python -m gr1_recorder ACTION` is `gr1 record ACTION`, for a shell without `gr1` on its PATH."""

import sys

from gr1_core import cli

sys.exit(cli.main(["record", *sys.argv[1:]]))
