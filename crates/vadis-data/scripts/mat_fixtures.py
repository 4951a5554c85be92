"""Writes the .mat and .npy files that the tests read, with scipy and numpy.

usage: python mat_fixtures.py ../tests/fixtures
Made with scipy 1.x and numpy 2.x; the values stand in tests/mat.rs.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.io import savemat

out = Path(sys.argv[1])


def cells(items, shape=None):
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = item
    return array.reshape(shape or (1, len(items)))


kinds = {
    "f64": np.array([[1.5, -2.0, 3.25], [4.0, 5.0, -6.5]]),
    "f32": np.array([[0.5, 0.25]], dtype=np.float32),
    "i8": np.array([[-128, 127]], dtype=np.int8),
    "u8": np.array([[0, 255, 7]], dtype=np.uint8),
    "i16": np.array([[-32768, 32767]], dtype=np.int16),
    "u16": np.array([[65535]], dtype=np.uint16),
    "i32": np.array([[-2147483648, 5]], dtype=np.int32),
    "u32": np.array([[4294967295]], dtype=np.uint32),
    "i64": np.array([[-5, 1 << 40]], dtype=np.int64),
    "u64": np.array([[1 << 40]], dtype=np.uint64),
    "flag": np.array([[True, False], [False, True]]),
    "text": "Straße 7",
    "empty": np.zeros((0, 0)),
    "complex": np.array([[1 + 2j]]),
    "cube": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "cell": cells([np.array([[1.0]]), "ab", cells([np.array([[2.0]])])]),
    "record": {"name": "walk", "range": np.array([[3.0, 9.0]])},
}
savemat(out / "kinds.mat", kinds)
savemat(out / "kinds_compressed.mat", kinds, do_compression=True)

# Avenue's masks: a cell of one mask a frame, 3 high and 4 wide; frame 2 has the pixel of row 1, column 3.
masks = [np.zeros((3, 4), dtype=np.uint8) for _ in range(3)]
masks[2][1, 3] = 1
savemat(out / "avenue_masks.mat", {"volLabel": cells(masks)}, do_compression=True)
masks = [m.astype(bool) for m in masks]
savemat(out / "avenue_masks_logical.mat", {"volLabel": cells(masks)})

# Avenue's volumes: [height, width, frames].
volume = np.zeros((3, 4, 2), dtype=np.uint8)
volume[1, 3, 0] = 200
volume[2, 0, 1] = 9
savemat(out / "volume.mat", {"vol": volume}, do_compression=True)
savemat(out / "volume_double.mat", {"vol": volume / 200.0}, do_compression=True)

# Shared frame labels: first and last abnormal frame of each event, from 1.
events = [np.array([[2, 5], [3, 6]]), np.array([[1], [4]]), np.zeros((2, 0)), np.array([[3, 4]])]
savemat(out / "events.mat", {"gt": cells(events)})

np.save(out / "labels_u8.npy", np.array([0, 1, 1, 0], dtype=np.uint8))
np.save(out / "labels_row.npy", np.array([[0, 1, 1]], dtype=np.int64))
np.save(out / "labels_big.npy", np.array([1, 0], dtype=">f4"))
np.save(out / "labels_odd.npy", np.array([0, 2]))
np.save(out / "planes_bool.npy", np.array(masks))
np.save(out / "fortran.npy", np.asfortranarray(np.zeros((2, 3, 4))))
