from kortex_api.client import client

BaseCyclicClient = client("BaseCyclic")
