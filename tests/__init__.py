"""The tests, laid out as the rooms are.

Small matrices are faster with one thread, and two test processes do not get into each other's way; torch and numpy read
these variables when they are first imported.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
