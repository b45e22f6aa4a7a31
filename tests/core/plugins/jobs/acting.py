"""A handler whose jobs do what a test says, in this process or, by name, in another."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from core.plugins.handlers.base import HandlerContext, PluginHandler

PATH = "tests.core.plugins.jobs.acting.ActingHandler"


class ActingHandler(PluginHandler):
    """`act` runs `acts`; `wait` tells the file of PLUGIN_TEST_FILE that it runs, and waits to be killed."""

    key = "acting"
    name = "Acting"
    description = "Does as it is told."
    config_schema: ClassVar = [{"key": "token", "name": "Token", "type": "string", "secret": True}]
    public_jobs: ClassVar = {
        "act": {
            "payload": {
                "note": {"type": "string"},
                "count": {"type": "number"},
                "really": {"type": "boolean"},
                "anything": {"type": "json"},
            }
        },
        "needing": {"payload": {"day": {"type": "date", "title": "Day", "required": True}}},
        "wait": {},
    }
    acts: ClassVar[Callable[[Mapping[str, Any], HandlerContext], str]]

    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        pass

    def run_job(self, job: str, payload: Mapping[str, Any], context: HandlerContext) -> str:
        if job == "wait" and (path := os.environ.get("PLUGIN_TEST_FILE")):
            Path(path).write_text(str(os.getpid()))
            time.sleep(600)
        return ActingHandler.acts(payload, context)
