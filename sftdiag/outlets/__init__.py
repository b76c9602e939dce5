"""Where findings go: the log, findings.jsonl, trackers, webhooks such as Slack's."""
