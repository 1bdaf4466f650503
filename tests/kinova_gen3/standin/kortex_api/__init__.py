"""A stand-in for the vendor's kortex_api: the same module paths and call surface, as far as this project uses
it, over a wire of our own.

Written from the published documentation (Kinova-kortex2_Gen3_G3L, api_python/doc); the messages are real
protobuf messages.
"""
