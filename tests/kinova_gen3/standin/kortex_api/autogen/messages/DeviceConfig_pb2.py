from kortex_api.schema import fill

fill(globals(), "DeviceConfig")
