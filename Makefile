# make demo, make test: each does all the set-up it needs. Nothing is written outside this folder, except uv's cache.
ENVIRONMENTS := .environments
UV := $(or $(shell command -v uv),$(ENVIRONMENTS)/uv/bin/uv)
TFX := $(ENVIRONMENTS)/tfx
TFF := $(ENVIRONMENTS)/tff
CHECKOV := $(ENVIRONMENTS)/checkov
SCALE ?= sample
PYTEST_ARGUMENTS ?=
export TF_CPP_MIN_LOG_LEVEL ?= 2
export PYTHONPATH := components

.PHONY: demo compile components test test-tfx test-tff test-flink test-images benchmark-trainer benchmark-fairness benchmark-inference benchmark-free-riders benchmark-suite lint setup lock clean

demo: setup
	$(TFX)/bin/python -m pipelines.flights.demo --scale $(SCALE) --output build/demo

IMAGE ?= tfx-federated:$(shell sed -n 's/^version = "\(.*\)"/\1/p;T;q' pyproject.toml)
PIPELINES := $(notdir $(patsubst %/kubeflow_runner.py,%,$(wildcard pipelines/*/kubeflow_runner.py)))
compile: setup
	@for name in $(PIPELINES); do \
	  $(TFX)/bin/tfx-federated compile pipelines/$$name --image $(IMAGE) --output build/pipelines/$$name.yaml || exit 1; \
	done

# What kfp users load; written anew after a change of a component.
components: setup
	$(TFX)/bin/tfx-federated components --image $(IMAGE) --output components/tfx_federated

test: lint test-tff test-tfx

# A file's tests share what is slow to start, so they stay together.
TEST_PROCESSES ?= 2
PYTEST := -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile
test-tff: setup
	$(TFF)/bin/python $(PYTEST) tests/tff_runtime $(PYTEST_ARGUMENTS)

test-tfx: setup $(CHECKOV)/.complete
	$(TFX)/bin/python $(PYTEST) tests --ignore tests/tff_runtime $(PYTEST_ARGUMENTS)

# Beam on an embedded Flink and Spark: needs Java 17, Maven and Go, and skips without them.
test-flink: setup
	$(TFX)/bin/python -m pytest tests/flink -m slow $(PYTEST_ARGUMENTS)

# Steps in the container image, built without Docker: needs root, podman, runc, mmdebstrap and Go, and skips without them.
test-images: setup
	$(TFX)/bin/python -m pytest tests/images -m slow $(PYTEST_ARGUMENTS)

# The trainer beside other frameworks, each in an environment of its own; about half an hour on two cores.
BENCHMARK_ARGUMENTS ?=
benchmark-trainer: setup $(ENVIRONMENTS)/benchmark-pfl/.complete $(ENVIRONMENTS)/benchmark-flower/.complete
	PYTHONPATH=components:. $(TFF)/bin/python -m benchmarks.trainer $(BENCHMARK_ARGUMENTS)

# The FairnessEvaluator beside TFMA's own evaluator and NumPy; about 20 minutes on two cores.
benchmark-fairness: setup
	PYTHONPATH=components:. $(TFX)/bin/python -m benchmarks.fairness $(BENCHMARK_ARGUMENTS)

# The BeamBatchInferrer beside BulkInferrer, RunInference and what no pipeline can beat; about 15 minutes on two cores.
benchmark-inference: setup
	PYTHONPATH=components:. $(TFX)/bin/python -m benchmarks.inference $(BENCHMARK_ARGUMENTS)

# The detectors of the ContributionEvaluator on planted behaviour; about 15 minutes on two cores.
benchmark-free-riders: setup
	PYTHONPATH=components:. $(TFX)/bin/python -m benchmarks.free_riders $(BENCHMARK_ARGUMENTS)

# What cross-silo teams fear, measured: under 10 minutes on two cores; SCALE=full takes hours.
benchmark-suite: setup $(ENVIRONMENTS)/benchmark-flower/.complete
	PYTHONPATH=components:. $(TFX)/bin/python -m benchmarks.suite --scale $(if $(filter full,$(SCALE)),full,small) $(BENCHMARK_ARGUMENTS)

lint: setup
	$(TFX)/bin/ruff check components pipelines benchmarks tests
	$(TFX)/bin/ruff format --check components pipelines benchmarks tests
	$(TFX)/bin/mypy components pipelines benchmarks

setup: $(TFX)/.complete $(TFF)/.complete

.PHONY: python3.11
python3.11:
	@python3.11 -c "" 2>/dev/null || { echo "tfx-federated needs CPython 3.11: install it so that 'python3.11' is on PATH, then run make again." >&2; exit 1; }

$(ENVIRONMENTS)/uv/bin/uv: | python3.11
	python3.11 -m venv $(ENVIRONMENTS)/uv
	$(ENVIRONMENTS)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# An environment is complete when its lock is installed; a half-made one is made anew.
$(ENVIRONMENTS)/%/.complete: requirements/%.txt requirements/%-test.txt | python3.11 $(UV)
	$(UV) venv --quiet --clear --python python3.11 $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --require-hashes -r requirements/$*.txt
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --require-hashes -r requirements/$*-test.txt
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --editable .
	@touch $@

$(ENVIRONMENTS)/benchmark-%/.complete: benchmarks/trainer/requirements/%.txt | python3.11 $(UV)
	$(UV) venv --quiet --clear --python python3.11 $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --require-hashes -r $<
	@touch $@

# Policies for manifests; its dependencies are nobody else's business.
$(CHECKOV)/.complete: requirements/checkov.txt | python3.11 $(UV)
	$(UV) venv --quiet --clear --python python3.11 $(@D)
	$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --require-hashes -r requirements/checkov.txt
	@touch $@

LOCK := pip compile --quiet --generate-hashes --no-header --no-emit-index-url --python-version 3.11
lock: | $(UV)
	$(UV) $(LOCK) pyproject.toml --extra tfx --extra demo --output-file requirements/tfx.txt
	$(UV) $(LOCK) pyproject.toml --extra tff --output-file requirements/tff.txt
	$(UV) $(LOCK) pyproject.toml --extra test --extra test-fairness --extra test-kubeflow --constraint requirements/tfx.txt --output-file requirements/tfx-test.txt
	$(UV) $(LOCK) pyproject.toml --extra test --constraint requirements/tff.txt --output-file requirements/tff-test.txt
	echo checkov | $(UV) $(LOCK) - --output-file requirements/checkov.txt
	for peer in pfl flower; do \
	  $(UV) $(LOCK) benchmarks/trainer/requirements/$$peer.in --no-emit-package tensorflow \
	    --output-file benchmarks/trainer/requirements/$$peer.txt || exit 1; \
	done

clean:
	rm -rf build $(ENVIRONMENTS)
