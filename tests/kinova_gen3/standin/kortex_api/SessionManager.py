from kortex_api.client import client
from kortex_api.RouterClient import RouterClientSendOptions

_Session = client("Session")


class SessionManager(_Session):
    def CreateSession(self, sessionInfo, options=RouterClientSendOptions()):  # noqa: B008
        return super().CreateSession(sessionInfo, options=options)

    def CloseSession(self, options=RouterClientSendOptions()):  # noqa: B008
        return super().CloseSession(options=options)
