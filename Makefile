# Everything installs into this checkout: uv into .uv (unless there is one), packages into .venv and .venvs.
UV := $(abspath $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv))
PYTHON ?= python3
# Without compiled modules each command imports for ten seconds what takes one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-big test-all lint benchmark clean

demo: $(UV)  ## a project with default answers: train, register, serve and report on this machine
	@if [ -e demo ]; then echo "demo/ is there already: running it again. Delete it to start afresh."; \
	else $(UV) run --quiet --no-dev copier copy --trust --defaults --quiet --vcs-ref HEAD . demo; fi
	cd demo && $(UV) run mlops local

test: $(UV) lint  ## all tests that need no big download
	$(UV) run pytest -n 2 -m "not big"

test-big: $(UV)  ## those that do: environments of their own, resolved afresh
	$(UV) run pytest -m big

test-all: test test-big

lint: $(UV)
	$(UV) run ruff check . && $(UV) run ruff format --check . && $(UV) run mypy

benchmark: $(UV)  ## render time beside cookiecutter and git clone
	$(UV) run python benchmarks/render.py

clean:
	rm -rf .uv .venv .venvs demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(abspath .uv/bin/uv):
	@$(PYTHON) -m venv .uv || { echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; rm -rf .uv; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
