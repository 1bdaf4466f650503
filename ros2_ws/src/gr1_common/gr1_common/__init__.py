"""What every node of the stack needs: messages, QoS, parameters, diagnostics, one process per node, loops,
timing.
"""
