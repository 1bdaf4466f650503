from setuptools import find_packages, setup

name = "gr1_robot"

setup(
    name=name,
    version="0.1.0",
    description="Cameras and arm of a GR-1 rig as ROS 2 nodes, with the gate in front of the motors",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core", "gr1_common"],
    extras_require={"realsense": ["pyrealsense2"]},
    zip_safe=True,
    entry_points={
        "console_scripts": [
            "camera_node = gr1_robot.cameras.node:main",
            "arm_node = gr1_robot.arm.node:main",
        ],
        "gr1.commands": [
            "node.arm = gr1_robot.commands.node_arm",
            "node.camera = gr1_robot.commands.node_camera",
            "stop = gr1_robot.commands.stop",
        ],
    },
)
