"""The cameras: their node, what a camera driver must offer, and one driver for each make of camera."""
