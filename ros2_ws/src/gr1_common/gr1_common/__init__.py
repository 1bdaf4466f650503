"""What every node of the stack needs: messages, QoS, parameters, diagnostics, process, loop, timing."""
