"""The fault table: the running simulated stack, broken on purpose again and again. `python -m gr1_fault_injection`, docs/how-to/inject_faults.md."""
