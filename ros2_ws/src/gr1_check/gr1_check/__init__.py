"""Measures a rig from outside: `gr1 check rig`, `gr1 measure`, `gr1 health`, `gr1 bench record`."""
