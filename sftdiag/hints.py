"""The names that annotations are made of, without loading typing.

No annotation is evaluated as a run is judged, and typing takes as long to load as 200 rows of a
log do to judge. Rooms that ``sftdiag analyze`` loads take these names from here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Any
    from typing import ClassVar as ClassVar
    from typing import Self as Self
    from typing import dataclass_transform as dataclass_transform
else:
    Any = ClassVar = Self = object

    def dataclass_transform(**_):
        """Leave a class as it is: only type checkers ask."""
        return lambda cls: cls


EVALUATED = ("Any", "ClassVar", "Self")
"""What :meth:`sftdiag.values.Value.from_dict` looks up in typing after all."""
