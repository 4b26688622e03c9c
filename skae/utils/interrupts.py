"""Whether an interrupt (Ctrl-C) ends training only, or the calling search as well."""

from __future__ import annotations

import sys

# Modules of scikit-learn that may be on the call stack of a single fit. All others, above all
# `sklearn.model_selection`, fit several estimators, and compare or combine them.
_BY_HAND = ("base", "callback", "compose", "pipeline", "utils")


def is_among_other_fits() -> bool:
    """Return whether scikit-learn runs this fit as one of several, as in a search.

    Then, a fit that was cut short must not be kept: its score would be compared with those of whole
    fits, while the user waits for the search to stop. Not every caller shows in the callback
    context (`cross_val_score` does not), but all stand on the call stack, also in a worker process.
    """
    frame = sys._getframe().f_back
    while frame is not None:
        package, *parts = frame.f_globals.get("__name__", "").split(".")
        if package == "sklearn" and (parts or [""])[0] not in _BY_HAND:
            return True
        frame = frame.f_back
    return False
