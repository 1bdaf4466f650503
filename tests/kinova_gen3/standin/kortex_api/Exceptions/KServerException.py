from kortex_api.Exceptions.KException import KException


class KServerException(KException):
    """An error on the server side."""
