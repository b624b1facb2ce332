# Everything installs into this checkout: uv into .uv (unless there is one), packages into .venv and .venvs.
UV := $(abspath $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv))
PYTHON ?= python3
ROUNDS ?= 7
SEQUENCES ?= 300
FAILURES ?= 200
TYPE ?= classical
DEMO := $(if $(filter classical,$(TYPE)),demo,demo-$(TYPE))
UV_PACKAGE ?= uv==0.13.9
# Packages are resolved as of the day that pyproject.toml records, so a year changes nothing; `TODAY=2027-01-31` is
# another day. Projects of users resolve what there is.
TODAY ?= $(shell sed -n 's/^exclude-newer = "\(.*\)T.*/\1/p' pyproject.toml)
export TODAY
export UV_EXCLUDE_NEWER := $(TODAY)T00:00:00Z
# uv does not look where pip finds wheels. Where that is set, PyTorch comes from there, and from no index of its own.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
endif
# Without compiled modules each command imports for ten seconds what takes one.
unexport PYTHONDONTWRITEBYTECODE

# The parts of `make test` that CI runs beside each other; a test adds them up. `menu` is what no other part has.
PROJECTS := tests/test_data_science.py tests/test_own_tests.py tests/test_project.py tests/test_readme.py
PART_workflows := tests/test_workflows.py $(sort $(wildcard tests/test_pipeline*.py)) tests/test_monorepo.py tests/test_upkeep.py
PART_infrastructure := tests/test_bicep.py tests/test_bicep_eval.py tests/test_bicep_snapshot.py tests/test_fake_arm.py tests/test_idempotency.py tests/test_parity.py tests/test_terraform.py
PART_engine := tests/test_engine.py tests/test_project_type.py
PART_updates := tests/test_update.py
PART_tables := $(PROJECTS) -k "not cv and not nlp"
PART_images := $(PROJECTS) -k "cv"
PART_texts := $(PROJECTS) -k "nlp and not cv"
PARTS := workflows infrastructure engine updates tables images texts
OTHERS := $(filter tests/%,$(foreach part,$(PARTS),$(PART_$(part))))
# The modules that have tests with a mark: to collect those of all modules takes each process seconds.
MARKED = $(shell grep -l "mark\.$(1)\b" tests/test_*.py)
PART_menu := $(filter-out $(OTHERS),$(sort $(wildcard tests/test_*.py)))

.PHONY: demo project test $(PARTS:%=test-%) test-menu test-big test-year test-failures test-all year failures lint freshness idempotency benchmark benchmark-classical benchmark-cv benchmark-nlp measure-render measure-parity run-classical project-cv project-nlp clean

demo: project  ## a project with default answers: train, register, serve and report on this machine; `TYPE=cv` with images, `TYPE=nlp` with texts
	cd $(DEMO) && $(UV) run mlops local

project: $(UV)  ## the same project, and nothing is run
	@if [ -e $(DEMO) ]; then echo "$(DEMO)/ is there already. Delete it to start afresh."; \
	else $(UV) run --quiet --no-dev copier copy --trust --defaults --quiet --vcs-ref HEAD -d project_type=$(TYPE) . $(DEMO); fi
	@$(PYTHON) tests/local_wheels.py $(DEMO)

# The part of the menu to test, such as `ONLY="project_type=classical,cv orchestration=github-actions"`; all without it.
export ONLY
, := ,
TYPES := $(or $(subst $(,), ,$(patsubst project_type=%,%,$(filter project_type=%,$(ONLY)))),classical cv nlp)

test: $(UV)  ## all tests that need no big download; `ONLY="project_type=classical"` leaves out what is about other choices
	$(UV) run pytest -n 3 -m "not big and not year and not failures"

$(PARTS:%=test-%) test-menu: test-%: $(UV)  ## one part of them: menu, workflows, infrastructure, engine, updates, tables, images or texts
	$(UV) run pytest -n 3 -m "not big and not year and not failures" $(PART_$*)

test-big: $(UV)  ## those that do: environments of their own, resolved afresh, and what is ours with the older libraries of Responsible AI
	$(UV) run pytest -n 3 -m big $(call MARKED,big)

year: $(UV)  ## a simulated year over the real verbs, in sequences of 30 events (`SEQUENCES=10000`), and errors that it must find
	@mkdir -p .venvs
	SEQUENCES=$(SEQUENCES) REPLAY="$(REPLAY)" $(UV) run pytest -m year $(call MARKED,year)
	@cat .venvs/year.txt

test-year: year

failures: $(UV)  ## 200 failures of the local loop (`FAILURES=1000`): signals, full disks, damaged files, two runs at once; no model is lost
	FAILURES=$(FAILURES) $(UV) run pytest -n 4 -m failures $(call MARKED,failures)

test-failures: failures

test-all: test test-big year failures

lint: $(UV)
	$(UV) run ruff check . && $(UV) run ruff format --check . && $(UV) run mypy

freshness: $(UV)  ## what of the template is retired, near its end or gone from the index by today
	$(UV) run env TODAY="$$(date -u +%F)" pytest --tb=short tests/test_freshness.py

# A folder of `terraform providers mirror`; the module has nothing but the provider to look for.
MLOPS_AZURERM ?= $(CURDIR)/.mirror

idempotency: $(UV)  ## apply, plan again, change and destroy with the real azurerm provider, which this downloads, in an Azure that a fake plays
	@[ -d "$(MLOPS_AZURERM)" ] || terraform -chdir=template/infrastructure/terraform/modules/data-lake providers mirror "$(MLOPS_AZURERM)"
	MLOPS_AZURERM="$(MLOPS_AZURERM)" $(UV) run pytest -n 4 tests/test_idempotency.py

# Figures need a machine that does nothing else, and so make without -j: one script follows the other. With -j2 and
# ROUNDS=1, as in CI, they only show that they run; those that take longest begin.
benchmark: $(TYPES:%=benchmark-%)  ## render time, overhead of the local runner, messy files up to a promoted model, serving beside FastAPI and MLflow, Terraform beside Bicep, training of tables, images and texts beside plain libraries

MEASURED_classical := local_overhead serving messy_files tables_training
MEASURED_cv := growth cv_training
MEASURED_nlp := nlp_training growth
MEASURED := $(foreach type,classical cv nlp,$(MEASURED_$(type):%=measure-$(type)-%))
.PHONY: $(MEASURED)

benchmark-classical: $(MEASURED_classical:%=measure-classical-%) measure-render measure-parity
benchmark-cv: $(MEASURED_cv:%=measure-cv-%)
benchmark-nlp: $(MEASURED_nlp:%=measure-nlp-%)

measure-render: $(UV)
	$(UV) run python benchmarks/render.py --rounds $(ROUNDS)

measure-parity: $(UV)
	$(UV) run python benchmarks/parity.py

$(MEASURED): script = benchmarks/$(lastword $(subst -, ,$@)).py
$(MEASURED_classical:%=measure-classical-%): run-classical
	$(UV) run --project demo python $(script) demo --rounds $(ROUNDS)

$(MEASURED_cv:%=measure-cv-%): project-cv
	$(UV) run --project demo-cv python $(script) demo-cv --rounds $(ROUNDS)

$(MEASURED_nlp:%=measure-nlp-%): project-nlp
	PYTHONPATH=.venvs/accelerate $(UV) run --project demo-nlp python $(script) demo-nlp --rounds $(ROUNDS)

# The server of tables answers with a model that is registered there. What of the others is trained, is so afresh.
run-classical: $(UV)
	@[ -e demo ] || $(MAKE) demo

project-cv: $(UV)
	@[ -e demo-cv ] || $(MAKE) project TYPE=cv
	@$(UV) sync --quiet --project demo-cv

project-nlp: $(UV)
	@[ -e demo-nlp ] || $(MAKE) project TYPE=nlp
	@$(UV) sync --quiet --project demo-nlp
	@$(UV) pip install --quiet --no-deps --python demo-nlp/.venv --target .venvs/accelerate accelerate psutil

clean:
	rm -rf .mirror .uv .venv .venvs demo demo-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(abspath .uv/bin/uv):
	@$(PYTHON) -m venv .uv || { echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; rm -rf .uv; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check "$(UV_PACKAGE)"
