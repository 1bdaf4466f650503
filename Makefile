# make demo    a trained policy on the simulated rig, live; type your own instruction:  make demo ARGS="--seconds 60"
# make test    the whole test suite
# make loop    demonstrations -> dataset -> training -> the trained policy moves the simulated arm; minutes on two cores
# Everything is installed into .venv, at the versions of constraints.txt.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
LEROBOT ?= .venv-lerobot
CALVIN ?= .venv-calvin
KINECT ?= .venv-kinect
PURELIB := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
ARGS ?=
# Debian's and Ubuntu's names: EGL and software rendering for the simulated cameras, USB for the real ones, and Python's venv module.
SYSTEM := libegl1 libgl1-mesa-dri libopengl0 libusb-1.0-0 python3-venv
ROS := "ros-jazzy-rclpy[fastrtps]" ros-jazzy-std-msgs ros-jazzy-sensor-msgs ros-jazzy-geometry-msgs ros-jazzy-std-srvs \
       ros-jazzy-diagnostic-msgs ros-jazzy-visualization-msgs ros-jazzy-lifecycle-msgs \
       ros-jazzy-trajectory-msgs
OURS := -e "gr1_core[sim,test,view]" -e ros2_ws/src/gr1_common -e "ros2_ws/src/gr1_robot[realsense]" -e ros2_ws/src/gr1_policy -e ros2_ws/src/gr1_recorder \
        -e ros2_ws/src/gr1_check -e ros2_ws/src/gr1_fault_injection -e ros2_ws/src/gr1_evaluation -e teleop_vr -e launch
MANIFESTS := constraints.txt gr1_core/pyproject.toml $(wildcard ros2_ws/src/*/setup.py)

# The demo and the tests talk to this machine only.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
export CALVIN_ROOT

.PHONY: help setup install system kinect demo train-demo lint test test-slow test-lerobot test-teleop-browser test-kinect test-calvin calvin loop docs bench expert faults clean
help:
	@sed -n '1,4s/^# //p' Makefile
	@echo 'also: make setup, install (gr1 into ~/.local/bin), lint, docs (the documentation as a site), bench (policy speed), expert (110 episodes over ROS topics), clean,'
	@echo '      faults (injects faults into the running stack and measures how it stops), kinect (an environment for the Azure Kinect),'
	@echo '      train-demo (trains the shipped policy from scratch: hours on two cores, continues after an interruption),'
	@echo '      test-slow, test-lerobot (with the real lerobot), test-teleop-browser (a browser as headset), test-kinect,'
	@echo '      calvin, test-calvin (CALVIN_ROOT=DIR: the CALVIN benchmark on its own simulator)'

setup: $(VENV)/.ready

# gr1 for every shell and folder, without activating a virtual environment.
install:
	@test -x $(VENV)/bin/gr1 || $(MAKE) setup
	@mkdir -p $(HOME)/.local/bin && ln -sfn $(abspath $(VENV))/bin/gr1 $(HOME)/.local/bin/gr1
	@echo '$(HOME)/.local/bin/gr1 -> $(abspath $(VENV))/bin/gr1'
	@case ":$$PATH:" in *":$(HOME)/.local/bin:"*) ;; *) echo 'It is not on your PATH yet:  export PATH="$$HOME/.local/bin:$$PATH"';; esac

system:
	@missing=$$(for p in $(SYSTEM); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "Not Debian or Ubuntu: please install what corresponds to:" $$missing; exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "System packages are missing. Please run:  sudo apt-get install" $$missing "   and then make again."; exit 1; fi

$(VENV)/.ready: $(MANIFESTS) | system
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python %d.%d: ROS 2 Jazzy comes as wheels for 3.11 to 3.13; name one with make PYTHON=..." % v)'
	@echo 'Installing into $(VENV): 6.5 GB, a few minutes.'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt $(ROS) $(OURS)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt pyorbbecsdk2  # only its examples need more
	@touch $@

kinect: $(KINECT)/.ready

# pyk4a needs numpy < 2: the Azure Kinect's camera node has an environment of its own, without torch. Its wheels end at Python 3.12.
$(KINECT)/.ready: tests/kinect/requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 12) else "Python %d.%d: pyk4a comes as wheels for 3.11 and 3.12; name one with make PYTHON=..." % v)'
	@$(PYTHON) -m venv --clear $(KINECT)
	@$(KINECT)/bin/pip install --quiet --disable-pip-version-check -r tests/kinect/requirements.txt
	@$(KINECT)/bin/pip install --quiet --disable-pip-version-check --no-deps -e gr1_core -e ros2_ws/src/gr1_common -e ros2_ws/src/gr1_robot
	@touch $@

# Job control (set -m) hands Ctrl-C to the demo alone; make would otherwise call its clean end an error.
demo: setup
	@mkdir -p out; set -m; $(VENV)/bin/gr1 up --robot sim --checkpoint demo --evaluate tasks --video out/demo.mp4 $(ARGS); exit $$?

# The expert's demonstrations, a first policy, demonstrations in which this policy drives half of the time (DAgger), the shipped policy:
# docs/results/training.md, "The shipped policy". Everything but the evaluation continues after an interruption; complete datasets are kept.
COLLECT = $(VENV)/bin/gr1 collect sim --to dataset --vary --rig kinova_gen2_small
train-demo: setup
	test -e data/expert/meta/info.json || $(COLLECT) --episodes 1705 --single-frames 15000 --out data/expert
	$(VENV)/bin/gr1 finetune finetune-demo data=data/expert out=runs/demo-expert steps=8000 $(ARGS)
	test -e data/driven/meta/info.json || $(COLLECT) --policy runs/demo-expert --seed 21000 --episodes 308 --out data/driven
	test -e data/drawer/meta/info.json || $(COLLECT) --policy runs/demo-expert --seed 22000 --episodes 264 --tasks open_drawer,close_drawer --out data/drawer
	test -e data/demo/meta/info.json || $(VENV)/bin/gr1 convert lerobot data/expert data/driven data/drawer --out data/demo
	$(VENV)/bin/gr1 finetune finetune-demo data=data/demo init=runs/demo-expert out=runs/demo optimizer.lr=0.0007 steps=15000 $(ARGS)
	$(VENV)/bin/gr1 evaluate sim --checkpoint runs/demo --out runs/demo/evaluation

# Style, layers, retired names, documents: seconds. The tools lie in the same environment, since the layers are read off the installed packages.
lint: setup $(VENV)/.lint
	@scripts/lint.sh $(VENV)/bin

$(VENV)/.lint: constraints.txt $(VENV)/.ready
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt ruff import-linter codespell mkdocs-material pre-commit
	@touch $@

test: setup
	@scripts/test.sh $(VENV)/bin/python $(ARGS)

test-slow: setup
	@$(VENV)/bin/python -m pytest -q -m slow $(ARGS) || \
	{ echo 'once more, what failed:'; $(VENV)/bin/python -m pytest -q -m slow --last-failed --last-failed-no-failures none $(ARGS); }

test-lerobot: setup $(LEROBOT)/.ready
	LD_LIBRARY_PATH="$$($(VENV)/bin/python -c 'import os; print(os.environ.get("LD_LIBRARY_PATH", ""))')" \
	$(LEROBOT)/bin/python -m pytest -q -m lerobot tests/interop $(ARGS)

# The teleoperation pages in headless Chromium with an emulated headset. Needs Node 20 and Chromium; Node's packages are pinned.
test-teleop-browser: setup
	$(VENV)/bin/python -m pytest -q -m browser tests/teleop $(ARGS)

test-kinect: kinect
	$(KINECT)/bin/python -m pytest -q -m kinect tests/kinect $(ARGS)

# lerobot wants older versions of some packages: they are in .venv-lerobot, before those of the main environment.
$(LEROBOT)/.ready: tests/interop/requirements.txt $(VENV)/.ready
	@$(VENV)/bin/python -m venv --clear $(LEROBOT)
	@$(LEROBOT)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/interop/requirements.txt
	@printf 'import site; site.addsitedir("%s")\n' "$$($(VENV)/bin/python $(PURELIB))" > "$$($(LEROBOT)/bin/python $(PURELIB))/gr1.pth"
	@$(LEROBOT)/bin/pip install --quiet --disable-pip-version-check --no-deps -e integrations/lerobot_policy_gr1 -e integrations/lerobot_robot_gr1
	@touch $@

# CALVIN's simulator, from clones of mees/calvin and mees/calvin_env:  make calvin CALVIN_ROOT=DIR   (docs/how-to/calvin.md)
calvin: $(CALVIN)/.ready
	@$(CALVIN)/bin/python -m gr1_core evaluate calvin --expert --chains 10 --renderer tiny $(ARGS)

test-calvin: $(CALVIN)/.ready
	$(CALVIN)/bin/python -m pytest -q -m calvin tests/calvin $(ARGS)

# pybullet and hydra lie in .venv-calvin, over the main environment.
$(CALVIN)/.ready: tests/calvin/requirements.txt $(VENV)/.ready
	@$(VENV)/bin/python -m venv --clear $(CALVIN)
	@$(CALVIN)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/calvin/requirements.txt
	@printf '%s\n' "$(CURDIR)/gr1_core" "$$($(VENV)/bin/python $(PURELIB))" > "$$($(CALVIN)/bin/python $(PURELIB))/gr1.pth"
	@touch $@

loop: setup
	@scripts/loop.sh

# The documentation as a site in out/site. A dead link, a dead anchor or a page outside of the navigation fails.
docs: setup $(VENV)/.lint
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict && echo 'out/site/index.html'

bench: setup
	$(VENV)/bin/gr1 bench policy $(ARGS)

expert: setup
	@set -m; $(VENV)/bin/gr1 up --robot sim --driver expert --episodes 110 $(ARGS); exit $$?

# Injects every fault of docs/how-to/inject_faults.md into the running simulated stack and measures how it stops:  make faults ARGS="--each 3 --only camera"
faults: setup
	@set -m; $(VENV)/bin/gr1 faults $(ARGS); exit $$?

clean:
	rm -rf $(VENV) $(LEROBOT) $(CALVIN) $(KINECT) out build install log ros2_ws/build ros2_ws/install ros2_ws/log
