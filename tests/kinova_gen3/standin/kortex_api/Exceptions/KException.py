class KException(Exception):
    """Any error of the API."""
