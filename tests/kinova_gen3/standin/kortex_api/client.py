"""Service clients: one method for each of the service's, with the vendor's arguments."""

from kortex_api.RouterClient import RouterClientSendOptions
from kortex_api.schema import METHODS, message


def client(service: str):
    """The class <service>Client."""

    def __init__(self, router):
        self.router = router

    methods = {name: _method(service, name, *kinds) for name, kinds in METHODS[service].items()}
    return type(f"{service}Client", (), {"__init__": __init__, **methods})


def _method(service: str, name: str, request, answer):
    def ask(self, payload, options):
        future = self.router.send(f"{service}.{name}", payload, options)
        return message(answer).FromString(future.result(options.getTimeoutInSecond()))

    if request:

        def method(self, argument, deviceId=0, options=RouterClientSendOptions()):  # noqa: B008
            assert isinstance(argument, message(request)), f"{name} takes a {request}, not {argument!r}"
            return ask(self, argument.SerializeToString(), options)

    else:

        def method(self, deviceId=0, options=RouterClientSendOptions()):  # noqa: B008
            return ask(self, b"", options)

    method.__name__ = name
    return method
