"""Networks that train in threads of one process get the numbers that they would get alone."""

import numpy as np
from joblib import Parallel, delayed

from sklearn_dysarthria import HyperLinearClassifier


def _fit(seed, X, y):
    model = HyperLinearClassifier(max_epochs=15, batch_size=4, random_state=seed)
    return model.fit(X, y).predict_proba(X)


def test_threads_do_not_draw_from_each_others_numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 6)).astype(np.float32)
    y = np.tile([0, 1], 12)
    alone = [_fit(seed, X, y) for seed in range(4)]
    together = Parallel(n_jobs=4, prefer="threads")(delayed(_fit)(s, X, y) for s in range(4))
    np.testing.assert_array_equal(together, alone)
