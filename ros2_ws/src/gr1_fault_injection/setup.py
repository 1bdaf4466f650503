from setuptools import find_packages, setup

name = "gr1_fault_injection"

setup(
    name=name,
    version="0.1.0",
    description="Breaks the running simulated GR-1 stack on purpose and measures how it stops",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core", "gr1_common", "gr1_robot", "gr1_bringup"],
    zip_safe=False,
    package_data={name: ["*.c"]},
    entry_points={
        "gr1.commands": [
            "bench motion = gr1_fault_injection.commands.bench_motion",
            "faults = gr1_fault_injection.commands.faults",
        ],
        "gr1_bringup.extensions": ["fault = gr1_fault_injection.up_extension:EXTENSION"],
    },
)
