"""`python -m gr1_core` is `gr1`, for launchers that take a module: `torchrun -m gr1_core finetune ...`."""

import sys

from gr1_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
