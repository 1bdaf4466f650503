"""Kinova Gen2 through its vendor's C library. backend: the interface; driver: the thread that owns the arm;
session: one connection; units: conversions; faults: error codes; sdk: struct layouts and loading.
docs/how-to/connect_kinova_gen2.md
"""
