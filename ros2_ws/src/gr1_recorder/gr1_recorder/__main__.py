"""`python -m gr1_recorder start|success|failure|discard`: begins and ends an episode of the running recorder."""

import argparse
import sys

from gr1_recorder.client import Recorder, RecorderError


def main() -> int:
    """0 when the recorder did it, 1 when it refused."""
    parser = argparse.ArgumentParser(prog="python -m gr1_recorder", description=__doc__)
    parser.add_argument("what", choices=("start", "success", "failure", "discard"))
    parser.add_argument("--namespace", default="", help="the stack's ROS namespace")
    given = parser.parse_args()
    try:
        with Recorder(given.namespace) as recorder:
            print(getattr(recorder, given.what)())
    except RecorderError as error:
        print(f"recorder: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
