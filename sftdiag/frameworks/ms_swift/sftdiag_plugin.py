"""Run by swift for ``--external_plugins``; no other module here, since swift puts its folder first.

swift inserts the folder of a plugin at the head of ``sys.path``, where a ``trl.py`` beside this
file would be taken for TRL.
"""

from __future__ import annotations

import sys

from sftdiag.frameworks.ms_swift import register

if "swift" in sys.modules:
    register()
