"""What rank 0 reads from its disk, told to every rank, so that all decide alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sftdiag.config import Settings
from sftdiag.policy import Policy

PATIENCE = timedelta(seconds=20)
"""How long a rank waits for rank 0's word. Ranks leave the last collective within a second, and a
rank 0 that runs without the callback never says a word."""

_calls = itertools.count()


def from_rank_zero(read: Callable[[], Any], *, is_rank_zero: bool) -> Any:
    """Return what ``read`` returns on rank 0, which must be plain JSON, on every rank.

    Goes through the key-value store that the process group was started with. No collective: a
    rank on which sftdiag is off is waited for by none, and rank 0 waits for no one.
    """
    store = _store()
    if store is None:
        return read()
    key = f"sftdiag/{next(_calls)}"
    if is_rank_zero:
        word = read()
        store.set(key, json.dumps(word))
        return word
    try:
        store.wait([key], PATIENCE)
    except Exception:  # each kind of store has its own
        return read()
    return json.loads(store.get(key))


def agreed(policy: Policy, settings: Settings, is_rank_zero: bool) -> tuple[Policy, Settings]:
    """Return rank 0's choices on every rank: each host may have a settings file of its own."""
    mine = {
        "policy": policy.to_dict(),
        "select": sorted(settings.select),
        "ignore": sorted(settings.ignore),
    }
    chosen = from_rank_zero(lambda: mine, is_rank_zero=is_rank_zero)
    selected = {name: frozenset(chosen[name]) for name in ("select", "ignore")}
    return Policy.from_dict(chosen["policy"]), settings.replace(**selected)


def _store() -> Any:
    """Return the process group's store; None where there is no group of several processes."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    if distributed.get_world_size() == 1:
        return None
    return distributed.distributed_c10d._get_default_store()
