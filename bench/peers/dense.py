"""NumPy's and SciPy's eigendecomposition of one K: `dense.py FILE`, asked in lines of JSON."""

import json
import sys
import time

import numpy as np
import scipy.linalg

WAYS = {
    "NumPy eigh": np.linalg.eigh,
    "SciPy eigh (evr)": lambda gram: scipy.linalg.eigh(gram, driver="evr", check_finite=False),
}


def main():
    gram = np.load(sys.argv[1])["gram"]
    for line in sys.stdin:
        asked, times = json.loads(line), []
        for _ in range(asked.get("count", 1)):
            clock = time.perf_counter()
            WAYS[asked["way"]](gram)
            times.append(1e3 * (time.perf_counter() - clock))
        print(json.dumps({"value": times}), flush=True)


if __name__ == "__main__":
    main()
