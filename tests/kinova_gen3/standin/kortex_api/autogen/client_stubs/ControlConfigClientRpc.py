from kortex_api.client import client

ControlConfigClient = client("ControlConfig")
