"""The cameras: their node, the interface of a camera driver, and one driver for each make of camera."""
