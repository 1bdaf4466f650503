"""The fault table: the running simulated stack, broken on purpose again and again. `python -m gr1_bringup.faults`, docs/faults.md."""
