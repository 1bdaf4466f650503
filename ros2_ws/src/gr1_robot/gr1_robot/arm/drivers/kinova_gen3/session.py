"""One connection to one Gen3: TCP, login and services, every call with a timeout. ROS-free, and without numpy
(watchdog).

Source: Kinova-kortex2_Gen3_G3L, api_python/doc and examples/utilities.py.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

ABSENT = (
    "kortex_api is not installed, and it is not on PyPI: take kortex_api-*.whl from the download page of "
    "Kinova's repository "
    "Kinova-kortex2_Gen3_G3L, then 'pip install --no-deps kortex_api-*.whl deprecated wrapt protobuf==3.20.3'"
)
UNUSABLE = (
    "kortex_api cannot be imported with the protobuf that is installed: 'pip install protobuf==3.20.3', "
    "or set "
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python ({error})"
)
# The arm ends a session that is silent for the first time, and stops what the session started when its
# connection is silent for the second: the last line of defence if the watchdog dies together with the arm
# node.
_SESSION_MS, _CONNECTION_MS = 60000, 2000


class KortexError(RuntimeError):
    """The arm cannot be reached, refuses the session or does not answer a call."""


class Refused(KortexError):
    """The arm answered with a refusal: the connection works."""


@dataclass(frozen=True)
class Login:
    """Address and credentials. timeout_ms: how long one call may take."""

    address: str
    port: int
    user: str
    password: str
    timeout_ms: int


class Session:
    """Connected and logged in after construction; raises KortexError. One thread at a time: the vendor's
    router may not be thread-safe.
    """

    def __init__(self, login: Login):
        try:
            from kortex_api.autogen.client_stubs.BaseClientRpc import BaseClient
            from kortex_api.autogen.client_stubs.BaseCyclicClientRpc import BaseCyclicClient
            from kortex_api.autogen.client_stubs.ControlConfigClientRpc import ControlConfigClient
            from kortex_api.autogen.client_stubs.DeviceConfigClientRpc import DeviceConfigClient
            from kortex_api.autogen.messages import Session_pb2
            from kortex_api.Exceptions.KServerException import KServerException
            from kortex_api.RouterClient import RouterClient, RouterClientSendOptions
            from kortex_api.SessionManager import SessionManager
            from kortex_api.TCPTransport import TCPTransport
        except ModuleNotFoundError as error:
            raise KortexError(
                ABSENT if error.name == "kortex_api" else f"kortex_api lacks a module: {error}"
            ) from error
        except (AttributeError, TypeError, ImportError) as error:
            raise KortexError(UNUSABLE.format(error=str(error).splitlines()[0])) from error
        self._login, self._options, self._refusal = login, RouterClientSendOptions, KServerException
        self._transport, self._manager = TCPTransport(), None
        router = RouterClient(self._transport, lambda error: None)
        where = f"the arm at {login.address}:{login.port}"
        try:
            self._transport.connect(login.address, login.port)
        except Exception as error:
            self.close()
            raise KortexError(
                f"{where} cannot be reached ({_text(error)}): check its power, the cable and "
                "kinova_gen3.address"
            ) from error
        info = Session_pb2.CreateSessionInfo()
        info.username, info.password = login.user, login.password
        info.session_inactivity_timeout, info.connection_inactivity_timeout = _SESSION_MS, _CONNECTION_MS
        try:
            manager = SessionManager(router)
            manager.CreateSession(info)
        except Exception as error:
            self.close()
            remedy = (
                "check kinova_gen3.user and kinova_gen3.password, and end other programs that hold sessions"
            )
            raise KortexError(
                f"{where} refuses a session for user '{login.user}' ({_text(error)}): {remedy}"
            ) from error
        self._manager = manager
        self.base, self.cyclic = BaseClient(router), BaseCyclicClient(router)
        self.control, self.device = ControlConfigClient(router), DeviceConfigClient(router)

    def call(self, method, *message, timeout_ms: int | None = None):
        """Calls a method of a service and returns its answer. Raises Refused or KortexError for all errors of
        the vendor's library.
        """
        options = self._options()
        options.timeout_ms = timeout_ms or self._login.timeout_ms
        try:
            return method(*message, options=options)
        except self._refusal as error:
            raise Refused(f"the arm refuses {method.__name__} ({_text(error)})") from error
        except Exception as error:
            raise KortexError(f"{method.__name__} failed ({_text(error)})") from error

    def close(self) -> None:
        """Logs out and disconnects, in any state of the connection; may be called twice."""
        if self._manager:
            options = self._options()
            options.timeout_ms = self._login.timeout_ms
            with contextlib.suppress(Exception):
                self._manager.CloseSession(options)
            self._manager = None
        with contextlib.suppress(Exception):
            self._transport.disconnect()


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
