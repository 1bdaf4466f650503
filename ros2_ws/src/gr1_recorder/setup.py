from setuptools import find_packages, setup

name = "gr1_recorder"

setup(
    name=name,
    version="0.1.0",
    description="Records demonstrations of a GR-1 rig: one MCAP bag per episode",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core", "gr1_common"],
    zip_safe=True,
    entry_points={
        "console_scripts": ["recorder_node = gr1_recorder.recorder_node:main"],
        "gr1.commands": [
            "node.recorder = gr1_recorder.commands.node_recorder",
            "record = gr1_recorder.commands.record",
        ],
    },
)
