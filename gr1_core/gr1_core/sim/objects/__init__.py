"""Objects on the table: `catalogue` (what exists), `shapes`, `fruit`, `unnamed` (meshes), `bodies` (MJCF)."""
