"""CALVIN's simulator (mees/calvin), used from the user's own checkout: access, chains, and a scripted expert.

Nothing of CALVIN is copied or shipped. Importing this package imports neither pybullet nor anything of the
checkout.
"""
