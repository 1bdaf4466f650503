from glob import glob

from setuptools import find_packages, setup

name = "gr1_bringup"

setup(
    name=name,
    version="0.1.0",
    description="Starts the GR-1 stack: one description for ros2 launch and for gr1 up",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml", *glob("*.launch.py")]),
        (f"share/{name}/config", glob("config/*")),
        (f"share/{name}/rviz", glob("rviz/*.rviz")),
        (f"share/{name}/foxglove", ["foxglove/gr1.json"]),
    ],
    install_requires=["setuptools", "gr1_core", "gr1_common"],
    zip_safe=False,
    entry_points={"gr1.commands": ["up = gr1_bringup.commands.up"]},
)
