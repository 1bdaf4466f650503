from kortex_api.Exceptions.KException import KException


class KClientException(KException):
    """An error on the client side."""
