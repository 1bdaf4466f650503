"""Kinova Gen3 through Kortex. backend: the interface; driver: the thread that owns the arm; session: one
connection; units: conversions; faults: fault texts; watchdog, watchdog_client: the process that stops the arm
if the node cannot. Guide: docs/how-to/connect_kinova_gen3.md.
"""
