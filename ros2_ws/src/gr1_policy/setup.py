from setuptools import find_packages, setup

name = "gr1_policy"

setup(
    name=name,
    version="0.1.0",
    description="GR-1 as a ROS 2 lifecycle node, acting at control rate on fresh frames only",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core[remote]", "gr1_common"],
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "expert_node = gr1_policy.expert_node:main",
            "policy_node = gr1_policy.policy_node:main",
            "task_sequence_node = gr1_policy.task_sequence_node:main",
        ],
        "gr1.commands": [
            "calibrate = gr1_policy.commands.calibrate",
            "confirm = gr1_policy.commands.confirm",
            "node.expert = gr1_policy.commands.node_expert",
            "node.policy = gr1_policy.commands.node_policy",
            "node.task_sequence = gr1_policy.commands.node_task_sequence",
        ],
    },
)
