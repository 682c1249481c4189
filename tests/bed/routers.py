"""A router that a test asks what was asked of it.

``mock/test_router_contract.py`` holds it to what the real router does.
"""

import asyncio

from aiohttp import web


class FakeRouter:
    """Knows workers, has breakers, and does what it is asked a moment later."""

    def __init__(self, targets):
        self.ids = {target.url: target.unit for target in targets}
        self.open = set()
        self.asked = []
        self.fails = 0
        self.foreign: int | None = None  # how often it answered as another program

    def app(self):
        app = web.Application()
        app.add_routes(
            [
                web.get("/workers", self.listing),
                web.post("/workers", self.add),
                web.put("/workers/{id}", self.close),
                web.delete("/workers/{id}", self.drop),
                web.get("/metrics", self.metrics),
            ]
        )
        return app

    async def listing(self, request):
        if self.fails:
            self.fails -= 1
            raise web.HTTPServiceUnavailable
        if self.foreign is not None:
            self.foreign += 1
            return web.json_response("hello")
        workers = [{"url": url, "id": name} for url, name in self.ids.items()]
        return web.json_response({"workers": workers})

    async def add(self, request):
        body = await request.json()
        self.asked.append(("add", body["url"], body.get("bootstrap_port")))
        asyncio.get_running_loop().call_later(0.05, self.ids.__setitem__, body["url"], "new")
        return web.json_response({}, status=202)

    async def close(self, request):
        name = request.match_info["id"]
        assert await request.json() == {"priority": 50}
        self.asked.append(("close", name))
        self.open.discard(name)
        return web.json_response({}, status=202)

    async def drop(self, request):
        name = request.match_info["id"]
        self.asked.append(("drop", name))
        self.ids = {url: one for url, one in self.ids.items() if one != name}
        return web.json_response({}, status=202)

    async def metrics(self, request):
        lines = (
            f'smg_worker_cb_state{{worker="{url}"}} {int(name in self.open)}'
            for url, name in self.ids.items()
        )
        return web.Response(text="\n".join(lines))
