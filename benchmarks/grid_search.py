"""A grid search of scikit-learn, for `executor.py`; by itself, some depths of it in this process.

python benchmarks/grid_search.py DEPTH...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

DEPTHS = (4, 8, 12, 16)


def grid_search(backend: str, depths: Sequence[int] = DEPTHS) -> None:
    import numpy as np
    from joblib import parallel_config
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    rng = np.random.default_rng(1)
    x = rng.normal(size=(1500, 20))
    search = GridSearchCV(
        RandomForestClassifier(n_estimators=60, random_state=1), {"max_depth": depths}, cv=4, refit=False
    )
    with parallel_config(backend, n_jobs=2):
        search.fit(x, x[:, 0] + 0.1 * rng.normal(size=1500) > 0)


if __name__ == "__main__":
    grid_search("sequential", [int(depth) for depth in sys.argv[1:]])
