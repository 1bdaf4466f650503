"""The quality report of a data set: one HTML page that needs nothing else."""


class Report:
    def __init__(self, origin, fps, shapes, rig):
        pass

    def add(self, episode, looks):
        pass

    def write(self, path, skipped, left_out):
        path.parent.mkdir(parents=True)
        path.write_text("")
