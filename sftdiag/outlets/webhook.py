"""Webhook: alerts to Slack, Discord or anything that takes JSON, from a thread of its own.

The address is a secret: it is never logged, shown or kept, and no message of an exception that may
hold it is.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sftdiag.errors import ConfigError
from sftdiag.faults import say
from sftdiag.findings import Severity
from sftdiag.outlets.alerts import Alert

TIMEOUT_S = 5.0
"""Seconds that one request may take to connect, and to answer."""

LAST_WAIT_S = 2.0
"""Seconds that the end of a run waits for alerts that are still under way."""

MAX_WAITING = 100
"""Alerts that wait for a slow receiver; far more than a run has."""

_COLOURS = {Severity.INFO: 0x2E86C1, Severity.WARNING: 0xF1C40F, Severity.ERROR: 0xE74C3C}
_SIGNS = {
    Severity.INFO: ":white_check_mark:",
    Severity.WARNING: ":warning:",
    Severity.ERROR: ":x:",
}


class Webhook:
    """Sends alerts to one address.

    Args:
        url: an http or https address; Slack's and Discord's are recognised by their host.

    Raises:
        ConfigError: it is no such address.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        except (ValueError, AttributeError):
            valid = False
        if not valid:
            raise ConfigError("webhook must be an http or https address")
        self._url = url
        self._format = _format_for(parts.hostname or "", parts.path)
        # A thread and its queue cannot be copied, and a search copies a callback before it trains.
        self._waiting: queue.Queue[bytes] | None = None
        self._complained = False

    @classmethod
    def of(cls, given: str | None) -> Webhook | None:
        """Return the webhook at this address, else at the environment's ``SFTDIAG_WEBHOOK``."""
        address = given or os.environ.get("SFTDIAG_WEBHOOK")
        return cls(address) if address else None

    def __repr__(self) -> str:
        return "Webhook(...)"

    def send(self, alert: Alert, run_name: str | None) -> None:
        """Hand an alert to the thread; returns at once."""
        if self._waiting is None:
            self._waiting = queue.Queue(MAX_WAITING)
            work = threading.Thread(
                target=self._work, args=(self._waiting,), name="sftdiag-webhook", daemon=True
            )
            work.start()
        try:
            self._waiting.put_nowait(json.dumps(self._format(alert, run_name)).encode())
        except queue.Full:
            self._complain("takes alerts too slowly")

    def drain(self) -> None:
        """Wait for what is under way, :data:`LAST_WAIT_S` at most."""
        waiting = self._waiting
        if waiting is None:
            return
        end = time.monotonic() + LAST_WAIT_S
        while waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)
        if waiting.unfinished_tasks:
            self._complain("does not answer")

    def _work(self, waiting: queue.Queue[bytes]) -> None:
        while True:
            body = waiting.get()
            try:
                self._post(body)
            except Exception as error:
                self._complain(_problem(error))
            finally:
                waiting.task_done()

    def _post(self, body: bytes) -> None:
        from urllib.request import Request, urlopen

        headers = {"Content-Type": "application/json", "User-Agent": "sftdiag"}
        with urlopen(Request(self._url, body, headers), timeout=TIMEOUT_S) as answer:
            answer.read(1)

    def _complain(self, problem: str) -> None:
        if not self._complained:
            self._complained = True
            say(logging.WARNING, f"the webhook {problem}; some alerts may not arrive")


def _problem(error: Exception) -> str:
    """Say what went wrong without the exception's own words, which may hold the address."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return f"answered {code}"
    reason = getattr(error, "reason", error)
    return f"cannot be reached ({type(reason).__name__})"


def _format_for(host: str, path: str) -> Any:
    if host == "hooks.slack.com":
        return slack
    if host in ("discord.com", "discordapp.com") and path.startswith("/api/webhooks/"):
        return discord
    return plain


def slack(alert: Alert, run_name: str | None) -> Mapping[str, Any]:
    """Return the payload for a Slack webhook: header, text, and where it happened."""
    where = [f"step {alert.step:,}", *([_escape(run_name)] if run_name else [])]
    return {
        "text": _escape(alert.title),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": alert.title[:150]}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": f"{_SIGNS[alert.severity]} {_escape(alert.text)}"[:3000],
                },
            },
            {"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(where)}]},
        ],
    }


def discord(alert: Alert, run_name: str | None) -> Mapping[str, Any]:
    """Return the payload for a Discord webhook: one embed, which mentions no one."""
    footer = " · ".join([f"step {alert.step:,}", *([run_name] if run_name else [])])
    return {
        "embeds": [
            {
                "title": alert.title[:256],
                "description": alert.text[:4096],
                "color": _COLOURS[alert.severity],
                "footer": {"text": footer[:2048]},
            }
        ],
        "allowed_mentions": {"parse": []},
    }


def plain(alert: Alert, run_name: str | None) -> Mapping[str, Any]:
    """Return the payload for any other receiver: the keys of trackio's webhooks, and more."""
    return {
        "level": alert.severity.label,
        "title": alert.title,
        "text": alert.text,
        "run": run_name,
        "step": alert.step,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        **alert.content,
    }


def _escape(text: str) -> str:
    """Escape the characters that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
