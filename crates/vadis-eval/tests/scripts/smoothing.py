"""Makes tests/fixtures/smoothing.json: smoothing by SciPy and pandas. Run: python smoothing.py > ../fixtures/smoothing.json"""

import json

import numpy as np
import pandas as pd
from scipy import ndimage

rng = np.random.default_rng(7)
scores = np.round(np.cumsum(rng.normal(size=40)) + rng.normal(size=40) * 2, 4)
series = pd.Series(scores)
# where the whole window exists, SciPy's median with any edge rule must agree with the shrinking one
interior = ndimage.median_filter(scores, size=9, mode="nearest")[4:-4]
expected = {
    "median:9": series.rolling(9, center=True, min_periods=1).median(),
    "median:4": series.rolling(4, center=True, min_periods=1).median(),
    "median:99": series.rolling(99, center=True, min_periods=1).median(),
    "causal_median:5": series.rolling(5, min_periods=1).median(),
    "causal_median:6": series.rolling(6, min_periods=1).median(),
    "gaussian:3": ndimage.gaussian_filter1d(scores, 3, mode="nearest", truncate=4),
    "gaussian:0.7": ndimage.gaussian_filter1d(scores, 0.7, mode="nearest", truncate=4),
    "gaussian:30": ndimage.gaussian_filter1d(scores, 30, mode="nearest", truncate=4),
    "ema:8": series.ewm(span=8, adjust=False).mean(),
}
print(json.dumps({
    "scores": scores.tolist(),
    "median_9_interior": interior.tolist(),
    "expected": {name: list(map(float, values)) for name, values in expected.items()},
}))
