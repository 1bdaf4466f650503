from setuptools import find_packages, setup

name = "gr1_evaluation"

setup(
    name=name,
    version="0.1.0",
    description="Evaluates a policy on the running simulated GR-1 stack, through the ROS graph",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core", "gr1_common", "gr1_policy", "gr1_bringup"],
    zip_safe=True,
    entry_points={
        "gr1.commands": [
            "evaluate.rig = gr1_evaluation.commands.evaluate_rig",
            "video = gr1_evaluation.commands.video",
        ],
        "gr1_bringup.extensions": ["evaluate = gr1_evaluation.up_extension:EXTENSION"],
    },
)
