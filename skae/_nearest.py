"""What autoencoders share whose whole objective is the reconstruction: the nearest code."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from skae._fitted import FittedMethods
from skae._validation import check_count, integer


@dataclass(eq=False, repr=False)
class NearestCode(FittedMethods):
    """Goes on from the encoder's code to the one whose reconstruction is nearest to the row.

    Not for methods with a penalty or noise: theirs is the code that the encoder was taught to give.
    """

    _: KW_ONLY
    transform_max_iter: int = 10

    _nearest_constraints: ClassVar[dict[str, Any]] = {"transform_max_iter": [integer(0)]}

    def _n_refinements(self) -> int:
        check_count("transform_max_iter", self.transform_max_iter, lowest=0)  # also after a fit
        return self.transform_max_iter
