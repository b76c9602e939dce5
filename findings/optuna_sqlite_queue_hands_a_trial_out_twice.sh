#!/usr/bin/env bash
# One would guess: trials in Optuna's queue (enqueue_trial) are shared out among the processes of a
#   study, each to one of them: asking takes a trial from the queue by setting it to RUNNING, which
#   says whether another process was first, under SELECT ... FOR UPDATE.
# What happens: SQLite knows no FOR UPDATE, and a SELECT there holds no lock until the UPDATE: two
#   processes both read WAITING and both get the trial. Both train it, and whoever is second to tell
#   its value gets "Cannot tell a COMPLETE trial". With a longer timeout as without: nothing is ever
#   locked. The journal file hands each trial out once. A trial that is created as RUNNING
#   (add_trial) is one process's own in every storage.
# Versions: optuna 5.0.0, SQLAlchemy 2.0.51, Python 3.11.
# Output seen (four processes; the first number varies):
#   SQLite: 11 of 40 queued trials were handed out more than once
#   journal file: 0 of 40 queued trials were handed out more than once
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile optuna==5.0.0 sqlalchemy==2.0.51
cd "$work"
cat >queue_of_trials.py <<'PY'
import multiprocessing
import tempfile
from collections import Counter

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
QUEUED, WORKERS = 40, 4


def storage(url):
    if url.startswith("journal:"):
        backend = optuna.storages.journal.JournalFileBackend(url.removeprefix("journal:"))
        return optuna.storages.JournalStorage(backend)
    return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


def work(url, ready, taken):
    study = optuna.load_study(study_name="x", storage=storage(url))
    ready.wait()
    while True:
        trial = study.ask()
        if not trial.user_attrs.get("queued"):
            return  # The queue is empty: a new trial.
        taken.put(trial.number)


def twice(url):
    """Return how many queued trials were handed out more than once, and how many at all."""
    study = optuna.create_study(study_name="x", storage=storage(url))
    for place in range(QUEUED):
        study.enqueue_trial({"place": place}, user_attrs={"queued": True})
    ready, taken = multiprocessing.Barrier(WORKERS), multiprocessing.SimpleQueue()
    workers = [
        multiprocessing.Process(target=work, args=(url, ready, taken)) for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    numbers = []
    while not taken.empty():
        numbers.append(taken.get())
    return sum(count > 1 for count in Counter(numbers).values()), len(set(numbers))


if __name__ == "__main__":
    seen = {}
    for name, url in (("SQLite", "sqlite:///study.db"), ("journal file", "journal:study.log")):
        # Chance decides when two ask at once: up to five queues.
        for again in range(5):
            more, queued = twice(url.replace("study.", f"study{again}."))
            if more or name == "journal file":
                break
        seen[name] = more
        print(f"{name}: {more} of {queued} queued trials were handed out more than once")
    assert seen["SQLite"] > 0
    assert seen["journal file"] == 0
PY
"$work/venv/bin/python" -W ignore queue_of_trials.py
