"""What a page does by POST besides the stop: answers the policy's call, judges a trial of an evaluation."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from gr1_teleop.auth import CONFIRM, JUDGE, VIEW_ONLY

_LONGEST = 60


class Actions(Protocol):
    """Each call returns whether it was done, and a text for the person; it may take seconds."""

    def confirm_call(self) -> tuple[bool, str]:
        """Answers the policy's call."""

    def judge(self, verdict: str) -> tuple[bool, str]:
        """A verdict on the running trial, see gr1_evaluation.rig.judging."""


class PageActions:
    """The routes; pages that may only watch are refused."""

    def __init__(self, actions: Actions):
        self._actions = actions

    def routes(self) -> list[web.RouteDef]:
        return [web.post(CONFIRM, self._confirm), web.post(JUDGE, self._judge)]

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        return await _answer(request, self._actions.confirm_call)

    async def _judge(self, request: web.Request) -> web.StreamResponse:
        verdict = request.query.get("verdict", "")[:_LONGEST]
        return await _answer(request, lambda: self._actions.judge(verdict))


async def _answer(request: web.Request, act) -> web.StreamResponse:
    if request.get(VIEW_ONLY):
        raise web.HTTPForbidden(text="this address is for watching only\n")
    # Not in the readers' one thread: a list of episodes may be under way.
    done, text = await asyncio.to_thread(act)
    return web.json_response({"done": done, "text": text})
