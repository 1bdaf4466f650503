"""`gr1 check rig`: hardware acceptance, step by step. docs/how-to/hardware_acceptance.md is its manual, `command.main` its beginning."""
