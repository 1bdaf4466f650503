"""`gr1 view`: the live stack, a bag, a dataset or an evaluation in Rerun, all in one arrangement.

    recording.py    times, images, curves and states as Rerun's entities
    layout.py       the arrangement: which entity is shown where
    arm_model.py    a URDF as links with shapes, and what turns them
    messages.py     the stack's messages -> entities; for the live stack and for bags
    bag.py, dataset.py, evaluation.py     the sources; the live one is `gr1_check.live_view`
    viewer.py       where it goes: a window, a browser, a file

Without torch and without ROS. Rerun is an optional dependency: `pip install "gr1_core[view]"`.
"""
