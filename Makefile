# Every target sets up .venv by itself: all it takes is make and Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

# As segkit sets it: whoever loads ONNX Runtime first tells nobody either.
export ORT_DISABLE_TELEMETRY := 1

.PHONY: course check test test-browser test-all lab outputs site bench lock data clean

course: .venv/ready ## run the main path, lessons 00 to 08, on the embedded pictures
	$(BIN)/segkit course --only 00-08

# Two processes test at a time; each takes the next test when it has finished one.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/ready ## for the change at hand: rules, exercises' checks, the module
	$(BIN)/ruff check .
	$(PYTEST) -m "not slow and not notebook and not long and not browser"

test: .venv/ready ## prove everything but what takes hours or a browser
	$(BIN)/ruff check .
	$(PYTEST) -m "not long and not browser"

test-browser: .venv/ready ## lessons in JupyterLab and the web page, in a real browser
	$(BIN)/python -m pytest -m "browser and not long"

test-all: .venv/ready ## also the lessons' own parameters under nbval, browsers, load, damaged files
	$(BIN)/ruff check .
	$(PYTEST) -m "not browser"
	$(BIN)/python -m pytest -m browser

lab: .venv/ready my-lessons ## open JupyterLab on your own copies of the lessons
	$(BIN)/jupyter lab my-lessons/00_start_here.ipynb

# What is run and written there is no change in git. To begin anew, remove the folder or a lesson in it.
my-lessons:
	cp -R notebooks my-lessons

outputs: .venv/ready ## run a lesson with its own parameters and store what it shows, without progress bars: make outputs LESSON=04
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.store_widget_state=False \
		--ExecutePreprocessor.record_timing=False notebooks/$(LESSON)*.ipynb
	$(BIN)/jupyter nbconvert --to notebook --inplace --coalesce-streams notebooks/$(LESSON)*.ipynb # what one cell prints in pieces

site: .venv/ready ## build build/site from the stored notebooks, the README and the docstrings
	$(BIN)/python docs/build.py

bench: .venv/ready ## speed, memory and quality beside others; writes tests/bench/RESULTS.md
	$(BIN)/python tests/bench/bench.py

# requirements.lock is used as constraints: pyproject.toml says what, the lock says which version.
.venv/ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "segkit needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[lab,data,tensorboard,pretrained,export,openvino,video,demo,domains,sweep,site,test]"
	@$(BIN)/jupyter labextension disable @jupyterlab/apputils-extension:announcements # it asks for news at each start
	@touch $@

# The generator has an environment of its own (2.5 GB): Blender and a body model.
data: data/render/.venv/ready ## render the embedded set again (hours)
	data/render/.venv/bin/python data/render/render.py all

data/render/.venv/ready: data/render/requirements.txt
	$(PYTHON) -m venv data/render/.venv
	data/render/.venv/bin/python -m pip install --quiet -r data/render/requirements.txt
	@touch $@

lock: .venv/ready ## pin the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	echo "torch==2.13.0" > .venv/torch.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 -c .venv/torch.txt \
		--find-links "$(PIP_FIND_LINKS)" --no-header --no-annotate -q | sed 's/+cpu//' > requirements.lock

clean: ## remove the environment and everything that was run
	rm -rf .venv runs
