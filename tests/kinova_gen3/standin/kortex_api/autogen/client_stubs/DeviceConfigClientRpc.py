from kortex_api.client import client

DeviceConfigClient = client("DeviceConfig")
