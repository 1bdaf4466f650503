from setuptools import find_packages, setup

name = "gr1_check"

setup(
    name=name,
    version="0.1.0",
    description=(
        "Looks at a GR-1 rig from outside: hardware acceptance step by step, health, rates and latencies"
    ),
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core", "gr1_common", "gr1_robot", "gr1_recorder", "gr1_bringup"],
    zip_safe=True,
    entry_points={
        "gr1.commands": [
            "bench.record = gr1_check.commands.bench_record",
            "check.rig = gr1_check.commands.check_rig",
            "health = gr1_check.commands.health",
            "measure = gr1_check.commands.measure",
        ],
        "gr1.live_view": ["stack = gr1_check.live_view"],
    },
)
