"""The policy on another machine: a websocket server around `Policy`, and a client with its interface."""
