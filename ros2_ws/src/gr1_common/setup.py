from setuptools import find_packages, setup

name = "gr1_common"

setup(
    name=name,
    version="0.1.0",
    description="What every node of the GR-1 stack needs: messages, QoS, parameters, diagnostics, timing",
    license="Apache-2.0",
    packages=find_packages(include=[name, f"{name}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{name}"]),
        (f"share/{name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "gr1_core"],
    zip_safe=True,
)
