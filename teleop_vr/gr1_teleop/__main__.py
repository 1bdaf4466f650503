"""`python -m gr1_teleop`: the teleoperation node by itself, beside a stack that runs already."""

import sys

from gr1_teleop.teleop_node import main

sys.exit(main())
