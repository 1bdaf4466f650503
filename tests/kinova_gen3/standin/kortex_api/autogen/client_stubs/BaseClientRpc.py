from kortex_api.client import client

BaseClient = client("Base")
