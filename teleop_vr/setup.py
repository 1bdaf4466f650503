from setuptools import find_packages, setup

name = "gr1_teleop"

setup(
    name=name,
    version="0.1.0",
    description="Teleoperation of a GR-1 rig from a headset's browser, a phone or a workstation",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    package_data={name: ["web/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=[
        "setuptools",
        "gr1_core",
        "gr1_common",
        "gr1_recorder",
        "aiohttp",
        "cryptography",
        "segno",
    ],
    zip_safe=False,
    entry_points={
        "console_scripts": ["teleop_node = gr1_teleop.teleop_node:main"],
        "gr1.commands": [
            "node.teleop = gr1_teleop.commands.node_teleop",
            "teleop = gr1_teleop.commands.teleop",
        ],
    },
)
