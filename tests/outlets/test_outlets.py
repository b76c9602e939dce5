"""Where findings go: the log, findings.jsonl and a webhook, each thing once."""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra trainer")

from drive import Drive
from logs import Row, healthy, overfitting, train_rows
from receiver import Receiver

import sftdiag
from sftdiag.findings import Severity
from sftdiag.outlets.alerts import Alert
from sftdiag.outlets.webhook import Webhook, discord, slack
from sftdiag.sources import journal


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("no_proxy", "*")
    made: list[Receiver] = []

    def make(**options: Any) -> Receiver:
        made.append(Receiver(**options))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def events(folder: Path) -> list[str]:
    return [
        event["event"] + (f" {event['finding']['id']}" if "finding" in event else "")
        for event in journal.read(str(folder))
    ]


def swinging() -> list[Row]:
    """A loss that is 0 again and again: more onsets than are told apart."""
    return train_rows([1.0, *[0.0] * 10] * 40, grad_norm=0.0)


def test_findings_are_kept_as_they_happen(tmp_path: Path) -> None:
    drive = Drive(tmp_path, sftdiag.DiagnosticsCallback())
    drive.begin()
    assert events(tmp_path) == ["start"]
    reported = []
    for row in overfitting(rise=0.008):
        drive.log(row)
        if len(events(tmp_path)) == 3 and not reported:
            reported = drive.callback.report.to_dict()["findings"]
    assert events(tmp_path) == ["start", "fired SFT201@100", "rose SFT201@100"]
    drive.end()
    (start, fired, rose, end) = journal.read(str(tmp_path))
    assert (start["step"], start["context"]["learning_rate"]) == (0, 5e-5)
    assert fired["finding"]["severity"] == "warning"
    assert rose["finding"] == reported[0]
    assert (end["verdict"], end["primary_id"], end["step"]) == ("error", "SFT201@100", 200)


def test_each_is_told_once_however_often_it_comes_and_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, receiver: Any
) -> None:
    caplog.set_level(logging.INFO, "sftdiag")
    post = receiver()
    Drive(tmp_path, sftdiag.DiagnosticsCallback(webhook=post.url)).run(swinging())
    told = [record.getMessage() for record in caplog.records if record.name == "sftdiag"]
    assert len(told) == len(set(told))
    assert len(post.got) == len({(alert["title"], alert["step"]) for alert in post.got})
    assert len(events(tmp_path)) == len(set(events(tmp_path)))
    assert [e for e in events(tmp_path) if e.startswith("fired SFT107")]
    assert [e for e in events(tmp_path) if e.startswith("resolved SFT107")]


def test_the_webhook_gets_onset_end_and_verdict(tmp_path: Path, receiver: Any) -> None:
    post = receiver()
    rows = swinging()[:12]
    callback = sftdiag.DiagnosticsCallback(webhook=post.url)
    Drive(tmp_path, callback, run_name="llama-sft").run(rows)
    assert [alert["title"] for alert in post.got] == [
        "SFT107 zero-loss at step 9",
        "SFT107 zero-loss is over at step 12",
        "sftdiag: healthy. What was found earlier is over.",
    ]
    fired, over, verdict = post.got
    assert (fired["level"], over["level"], verdict["level"]) == ("error", "info", "info")
    assert fired["finding"]["id"] == "SFT107@9"
    assert fired["run"] == "llama-sft"
    assert verdict["findings"] == ["SFT107@9"]


def test_no_path_leaves_the_machine(tmp_path: Path, receiver: Any) -> None:
    """transformers' default name of a run is its output folder."""
    post = receiver()
    Drive(tmp_path / "canary", sftdiag.DiagnosticsCallback(webhook=post.url)).run(overfitting())
    assert post.got
    assert "canary" not in json.dumps(post.got)
    assert "canary" not in (tmp_path / "canary" / "_sftdiag" / "findings.jsonl").read_text()


@pytest.mark.parametrize("fault", ["answers 500", "refuses", "hangs"])
def test_a_webhook_that_fails_is_said_once_without_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, receiver: Any, fault: str
) -> None:
    post = receiver(status=500, delay=30.0 if fault == "hangs" else 0.0)
    url = "http://127.0.0.1:9/services/secret-token" if fault == "refuses" else post.url
    callback = sftdiag.DiagnosticsCallback(webhook=url)
    caplog.set_level(logging.DEBUG)
    drive = Drive(tmp_path, callback)
    drive.begin()
    start = time.monotonic()
    for row in overfitting():
        drive.log(row)
    logged = time.monotonic()
    drive.end()
    assert logged - start < 1.0
    assert time.monotonic() - logged < 2.5
    said = [r.getMessage() for r in caplog.records if "webhook" in r.getMessage()]
    assert len(said) == 1
    everything = "\n".join(str(vars(record)) for record in caplog.records)
    assert "secret-token" not in everything + repr(callback.webhook)
    assert callback.report.verdict == "error"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "hooks.slack.com/x", "http://", "", 3, "http://[x"]
)
def test_a_wrong_address_is_refused_without_showing_it(url: Any) -> None:
    with pytest.raises(sftdiag.ConfigError) as raised:
        Webhook(url)
    assert str(raised.value) == "webhook must be an http or https address"


def test_the_address_may_come_from_the_environment(
    tmp_path: Path, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = receiver()
    monkeypatch.setenv("SFTDIAG_WEBHOOK", post.url)
    Drive(tmp_path, sftdiag.DiagnosticsCallback()).run(healthy())
    assert [alert["title"] for alert in post.got] == [
        "sftdiag: healthy. The checks that could run found no fault."
    ]


ALERT = Alert("SFT106", Severity.ERROR, "SFT106 at step 1,200", "loss < NaN & @here", 1200, {})


def test_what_slack_and_discord_get() -> None:
    payload = slack(ALERT, "a<b")
    assert payload["text"] == "SFT106 at step 1,200"
    header, section, where = payload["blocks"]
    assert header["text"] == {"type": "plain_text", "text": "SFT106 at step 1,200"}
    assert section["text"]["text"] == ":x: loss &lt; NaN &amp; @here"
    assert where["elements"][0]["text"] == "step 1,200 · a&lt;b"
    payload = discord(ALERT, None)
    assert payload["allowed_mentions"] == {"parse": []}
    assert payload["embeds"][0]["footer"]["text"] == "step 1,200"
    long = ALERT.replace(title="t" * 999, text="x" * 9999)
    assert len(slack(long, None)["blocks"][1]["text"]["text"]) == 3000
    assert len(discord(long, None)["embeds"][0]["description"]) == 4096


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://discord.com/api/webhooks/1/x", "discord"),
        ("https://chat.example.com/hooks/x", "plain"),
        ("https://hooks.slack.com.example.com/x", "plain"),
        ("https://notdiscord.com/api/webhooks/1/x", "plain"),
    ],
)
def test_receivers_are_told_apart_by_their_host(url: str, name: str) -> None:
    assert Webhook(url)._format.__name__ == name


def test_a_callback_with_a_webhook_can_be_copied() -> None:
    """As a search over hyperparameters on several machines does."""
    copy = pickle.loads(pickle.dumps(sftdiag.DiagnosticsCallback(webhook="http://example.com/x")))
    assert copy.report.verdict == "inconclusive"


def test_other_ranks_tell_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, receiver: Any
) -> None:
    post = receiver()
    callback = sftdiag.DiagnosticsCallback(webhook=post.url, stop_on="warning")
    drive = Drive(tmp_path, callback, rank_zero=False)
    drive.run(overfitting())
    assert drive.control.should_training_stop
    assert (caplog.records, post.got, list(tmp_path.iterdir())) == ([], [], [])


def test_a_report_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    callback = sftdiag.DiagnosticsCallback()
    Drive(tmp_path, callback).run(overfitting())
    html = callback._repr_html_()
    assert html == callback.report._repr_html_()
    assert html.startswith("<pre")
    assert html.count("<pre") == html.count("</pre>") == 1
    assert "SFT201 eval-loss-rising" in html
    assert "http" not in html
