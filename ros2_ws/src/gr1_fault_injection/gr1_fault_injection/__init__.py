"""Injects faults into the simulated stack: `gr1 up --fault` one of them, `gr1 faults` all of them."""
