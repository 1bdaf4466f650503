import itertools
from concurrent.futures import Future

from kortex_api.Exceptions.KServerException import KServerException


class RouterClientSendOptions:
    def __init__(self):
        self.andForget = False
        self.delay_ms = 0
        self.timeout_ms = 10000

    def getTimeoutInSecond(self):
        return self.timeout_ms / 1000


class RouterClient:
    def __init__(self, transport, errorCallback=None):
        self._transport, self._error = transport, errorCallback
        self._numbers, self._waiting = itertools.count(1), {}
        transport.registerOnFrameCallback(self._receive)

    def basicErrorCallback(self, error):
        print(error)

    def send(self, method, payload, options):
        number, future = next(self._numbers), Future()
        self._waiting[number] = future
        self._transport.send({"id": number, "method": method}, payload)
        return future

    def _receive(self, header, payload):
        future = self._waiting.pop(header["id"])
        if header.get("error"):
            future.set_exception(KServerException(header["error"]))
        else:
            future.set_result(payload)
