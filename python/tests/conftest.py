"""NumPy's own threads wait for each other, for seconds where other work shares the cores."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
