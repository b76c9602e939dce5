#!/usr/bin/env bash
# One would guess: processes that start together on one new SQLite file share a study, as
#   create_study(load_if_exists=True) is there for; whoever comes second finds what the first made.
# What happens: each looks which tables there are, and makes those that are missing. Between the two
#   another process has made them: all but one end with "table ... already exists", or with
#   "UNIQUE constraint failed: alembic_version.version_num". A longer timeout changes nothing:
#   nothing is locked. Opened again a moment later the same file is whole. A journal file opens
#   for all.
# Versions: optuna 5.0.0, SQLAlchemy 2.0.51, Python 3.11.
# Output seen (the first number varies):
#   SQLite: 8 of 9 processes that were not first failed to open a new file
#     OperationalError, IntegrityError; opened again: 0 failed
#   journal file: 0 of 9 processes that were not first failed to open a new file
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-compile optuna==5.0.0 sqlalchemy==2.0.51
cd "$work"
cat >new_file.py <<'PY'
import multiprocessing

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
PROCESSES, FILES = 4, 3


def opened(url):
    if url.startswith("journal:"):
        backend = optuna.storages.journal.JournalFileBackend(url.removeprefix("journal:"))
        storage = optuna.storages.JournalStorage(backend)
    else:
        storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    optuna.create_study(study_name="x", storage=storage, load_if_exists=True)


def work(url, ready, told):
    ready.wait()
    try:
        opened(url)
        told.put(None)
    except Exception as error:
        told.put(type(error).__name__)


def failed(url):
    """Return the errors of processes that open a new file at once."""
    ready, told = multiprocessing.Barrier(PROCESSES), multiprocessing.Queue()
    processes = [
        multiprocessing.Process(target=work, args=(url, ready, told)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    seen = [told.get() for _ in processes]
    for process in processes:
        process.join()
    return [name for name in seen if name]


if __name__ == "__main__":
    others = FILES * (PROCESSES - 1)
    for name, pattern in (("SQLite", "sqlite:///{}.db"), ("journal file", "journal:{}.log")):
        urls = [pattern.format(f"study{place}") for place in range(FILES)]
        errors = [error for url in urls for error in failed(url)]
        print(
            f"{name}: {len(errors)} of {others} processes that were not first failed "
            "to open a new file"
        )
        if name == "SQLite":
            again = [error for url in urls for error in failed(url)]
            print(f"  {', '.join(sorted(set(errors)))}; opened again: {len(again)} failed")
            assert errors and not again
        else:
            assert not errors
PY
"$work/venv/bin/python" -W ignore new_file.py
