"""Reads windows with the lerobot library and reports the time. Another interpreter runs it: it imports
nothing of gr1_core.

Arguments: dataset, window, future steps. Each line of the input is a JSON list of the rows at which windows
start; each is answered by a line {"cpu_s": processor time of this process}. The first line says that it is
ready.
"""

import json
import sys
import time


def main() -> None:
    root, window, future = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    answers, sys.stdout = sys.stdout, sys.stderr
    from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
    from torch import set_num_threads

    set_num_threads(1)
    info = LeRobotDatasetMetadata("local/bench", root=root)
    steps = {"observation.state": window, "action": window} | dict.fromkeys(info.camera_keys, window + future)
    ahead = {
        name: [step / info.fps for step in range(count)]
        for name, count in steps.items()
        if name in info.features
    }
    dataset = LeRobotDataset("local/bench", root=root, delta_timestamps=ahead)
    print(json.dumps({"frames": len(dataset)}), file=answers, flush=True)
    for line in sys.stdin:
        rows = json.loads(line)
        began = time.process_time()
        for row in rows:
            dataset[row]
        print(json.dumps({"cpu_s": time.process_time() - began}), file=answers, flush=True)


if __name__ == "__main__":
    main()
