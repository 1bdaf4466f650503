"""The Kinova Gen2 behind its vendor's C library: structs and loading, error codes, frames and units, the session, the driver's thread."""
