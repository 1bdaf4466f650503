"""`gr1 check rig`: hardware acceptance, step by step. docs/first_hour.md is its manual, `command.main` its beginning."""
