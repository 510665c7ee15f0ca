"""``PYTHONPATH=tests/another_clock CLOCK_AHEAD_S=90``: every process is as on a machine whose clock is 90 s ahead.

Python imports this module when it starts, long before ours.
"""

import os
import time

_time, _ahead_s = time.time, float(os.environ.get("CLOCK_AHEAD_S", "0"))
time.time = lambda: _time() + _ahead_s
