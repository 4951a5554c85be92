"""Prints the colours of some motions for the test of src/flow/wheel.rs.

python wheel.py   (flow_vis, numpy)
"""

import flow_vis
import numpy as np

motions = np.array(
    [[1, 0], [0, 1], [-1, 0], [0, -1], [0.5, 0.5], [-0.3, 0.6], [-0.7, -0.2], [0.1, -0.05], [1.5, 0.5], [-2, 1.2]],
    np.float32,
)
colours = flow_vis.flow_uv_to_colors(motions[None, :, 0], motions[None, :, 1])[0]
for (u, v), (r, g, b) in zip(motions, colours):
    print(f"        ([{u:.2f}, {v:.2f}], [{r}, {g}, {b}]),")
