"""What a Rerun file holds, by entity."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from rerun.chunk import RrdReader


@dataclass
class Entity:
    """rows: (seconds, None for static data; {component: value}), in the order of time."""

    rows: list = field(default_factory=list)

    def values(self, component):
        """[(seconds, first value)] of one component, such as "StateChange:state"."""
        return [(at, row[component][0]) for at, row in self.rows if row.get(component) is not None]

    def static(self, component):
        found = [row[component] for at, row in self.rows if at is None and row.get(component) is not None]
        return found[-1][0]

    def at(self, seconds, component):
        """The value that counts at a time."""
        return [value for at, value in self.values(component) if at is None or at <= seconds + 1e-6][-1]


def read(path) -> dict[str, Entity]:
    """Entity, without its first slash -> its rows."""
    found = defaultdict(Entity)
    for chunk in RrdReader(str(path)).stream().to_chunks():
        batch = chunk.to_record_batch()
        columns = dict(zip(batch.schema.names, batch.columns))
        times = [None] * batch.num_rows
        if "time" in columns:
            times = (columns["time"].cast("int64").to_numpy(zero_copy_only=False) * 1e-9).tolist()
        names = [name for name in columns if ":" in name]
        for row in range(batch.num_rows):
            values = {name: _value(columns[name][row]) for name in names}
            found[chunk.entity_path.lstrip("/")].rows.append((times[row], values))
    for entity in found.values():
        entity.rows.sort(key=lambda row: -1.0 if row[0] is None else row[0])
    return dict(found)


def _value(scalar):
    """A list of instances: numbers as arrays, texts as str, bytes as bytes; None for nothing."""
    if scalar.as_py() is None:
        return None
    found = []
    for one in scalar.as_py():
        if isinstance(one, list):
            one = bytes(one) if one and isinstance(one[0], int) and len(one) > 16 else np.array(one)
        found.append(one)
    return found
