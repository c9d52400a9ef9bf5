# Everything that a person or CI runs. `make` alone lists the targets.

PYTHON ?= python3
SECONDS ?= 60
CLIENT ?=
STACK ?= telenor-token$(if $(CLIENT),-$(CLIENT))
YEARS ?= 3
VENV := .venv
PY := $(VENV)/bin/python
# As many processes as there are cores.
PYTEST := $(PY) -W error -m pytest -n auto --dist worksteal

# An operator's own SAM CLI is used where there is one; otherwise one is installed into .venv-sam.
SAM ?= $(or $(shell command -v sam),$(CURDIR)/.venv-sam/bin/sam)
export SAM_CLI_TELEMETRY ?= 0

# Node's example is tested where there is Node; elsewhere the test is skipped and says so.
NODE := $(shell command -v node)

# Python 3.13 runs in AWS, so the artifact has its bytecode, and the emulator and the runtime client run on it, where the
# machine has it.
export PYTHON313 := $(or $(shell for python in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13; do \
  "$$python" -c "" 2>/dev/null && echo "$$python" && break; done),$(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help demo sandbox test coverage examples prove chaos bench dashboard lint docs format build deploy redeploy outputs smoke cli validate terraform alarms e2e e2e-terraform release lock clean build-TokenFunction

help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '%s\n' '' \
	  'STACK=name     the stack to act on (default: telenor-token)' \
	  'CLIENT=name    one of several clients, each with a stack telenor-token-name' \
	  'YES=1          deploy and smoke ask nothing' \
	  'SET="..."      parameters to deploy: SET="GraceSeconds=900 RenewAtFraction=0.25"'

##@ Watch it work

demo: $(VENV)/.installed ## Watch tokens rotate under faults (SECONDS=60)
	@mkdir -p build
	@$(PY) -m infra.demo --seconds $(SECONDS) --svg build/demo.svg

sandbox: $(VENV)/.installed ## Keep servers and the job up (PORT=8720, OAUTH=1)
	@$(PY) -m infra.demo.consumer_sandbox $(if $(PORT),--port $(PORT)) $(if $(OAUTH),--oauth)

##@ Change it

test: $(VENV)/.installed ## Run the tests
	@$(PYTEST) -m "not long and not terraform" tests --ignore tests/examples
	@echo "Left to make terraform, which needs Terraform: what plans and applies the module"
	@echo "Left to make examples, which needs the AWS CLI and Node.js: tests/examples"

coverage: $(VENV)/.installed ## Measure the branch coverage of handler/ by its tests
	@$(PYTEST) -m "not long" tests/handler --cov

lint: $(VENV)/.installed ## Check style, types and imports: ruff, mypy, import-linter
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.installed ## Fix what ruff can fix
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

docs: $(VENV)/.installed ## Check links, anchors and names in the documents
	@$(VENV)/bin/rumdl check --quiet --no-cache
	@$(PY) -m pytest -q tests/docs

##@ Prove it

NODE_MODULES := examples/node/node_modules/.installed tests/interop/node_modules/.installed

examples: $(VENV)/.installed .venv-awscli/.installed .venv-django/.installed $(if $(NODE),$(NODE_MODULES)) ## Run the consumers' examples, and the job on other servers
	@$(if $(NODE),EXAMPLES=all) $(PY) -W error -m pytest tests/examples tests/interop

validate: $(VENV)/.installed .venv-sam/.installed .venv-checkov/.installed ## Check the templates: sam validate, cfn-lint, checkov
	@.venv-sam/bin/sam validate --lint --region eu-north-1
	@.venv-sam/bin/sam validate --lint --region eu-north-1 --template-file infra/consumer/template.yaml
	@.venv-sam/bin/cfn-lint --non-zero-exit-code informational template.yaml infra/consumer/template.yaml
	@.venv-checkov/bin/checkov --skip-download --quiet --compact --framework cloudformation -f template.yaml infra/consumer/template.yaml

terraform: $(VENV)/.installed ## Check the Terraform module, and changes of it on moto
	@# More than cores: they wait for the provider, which looks for half a minute whether a queue's policy has settled.
	@# Each file in one process, since its tests share an applied module.
	@$(PYTEST) -n 8 --dist loadfile -m terraform tests/infra

e2e: $(VENV)/.installed $(SAM) .venv-ministack/.installed .venv-runtime/.installed .venv-awscli/.installed ## Deploy to an emulator with IAM enforced, and check it all
	@SAM=$(SAM) MINISTACK_PYTHON=.venv-ministack/bin/python RUNTIME_PYTHON=.venv-runtime/bin/python \
	  AWS_CLI=.venv-awscli/bin/aws $(PY) -W error -m pytest -v tests/e2e --ignore tests/e2e/terraform

e2e-terraform: $(VENV)/.installed .venv-ministack/.installed ## Apply the Terraform module there, for several clients
	@MINISTACK_PYTHON=.venv-ministack/bin/python $(PY) -W error -m pytest -v tests/e2e/terraform

chaos: $(VENV)/.installed ## Run the job under faults of every kind (SECONDS=60, SEED=n)
	@$(PY) -m infra.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

alarms: $(VENV)/.installed ## Print the page's margins in every kind of failure
	@$(PY) -m tests.infra.alarms.expiry_alarm_timing

prove: $(VENV)/.installed ## Simulate every crash, order, mutant and years (YEARS=3)
	@$(PYTEST) -m long tests/handler tests/infra tests/simulation
	@$(PY) -m tests.simulation --years $(YEARS)

bench: $(VENV)/.installed .venv-runtime/.installed ## Measure start-up, calls and size into docs/benchmarks.md
	@$(PY) -m tests.benchmarks --runtime .venv-runtime/bin/python

dashboard: $(VENV)/.installed .venv-bench/.installed ## Draw the dashboard, healthy and in an outage, into docs/
	@$(PY) -m tests.infra.dashboard --charts .venv-bench/bin/python

##@ Deploy and operate it

build: ## Build the artifact, build/telenor-token.zip
	@rm -rf build/artifact
	@$(PYTHON) -m infra.artifact build/artifact --zip build/telenor-token.zip

# From the environment, so that the shell leaves alone what stands in it.
deploy redeploy: export SET := $(SET)
deploy: $(VENV)/.installed $(SAM) ## Ask for the parameters, build and deploy
	@$(PY) -m infra.deploy deploy --sam $(SAM) --stack $(STACK) $(if $(CLIENT),--client $(CLIENT)) $(if $(YES),--yes) --set "$$SET"

redeploy: $(VENV)/.installed $(SAM) ## Build, and update a stack with the values that it has
	@$(PY) -m infra.deploy redeploy --sam $(SAM) --stack $(STACK) --set "$$SET"

outputs: $(VENV)/.installed ## Print a stack's outputs as export lines
	@$(PY) -m infra.print_stack_outputs --stack="$(STACK)"

smoke: $(VENV)/.installed ## Check on a deployed stack what only an account shows
	@$(PY) -m infra.deployed_stack_checks --stack $(STACK) $(if $(YES),--yes)

cli: .venv-cli/bin/telenor-token ## Install the command telenor-token into .venv-cli
	@echo "Installed $(CURDIR)/$<: put it on your PATH, for example by ln -s. docs/cli.md explains it."

##@ Maintain it

# SAM calls this for the function TokenFunction: handler/ and the pure-Python wheels of what it needs.
build-TokenFunction:
	@$(PYTHON) -m infra.artifact "$(ARTIFACTS_DIR)"

lock: $(VENV)/.installed ## Resolve every requirements file anew from pyproject.toml
	@$(PY) -m uv pip compile $(COMPILE) --output-file requirements.txt pyproject.toml
	@$(PY) -m uv pip compile $(COMPILE) --group dev --output-file requirements-dev.txt pyproject.toml
	@$(PY) -m uv pip compile $(COMPILE) --group pip --output-file infra/requirements-pip.txt
	@$(PY) -m uv pip compile $(COMPILE) --extra cli --group build --output-file infra/requirements-cli.txt pyproject.toml
	@for tool in bench django sam checkov ministack runtime awscli release; do \
	  $(PY) -m uv pip compile $(COMPILE) --group $$tool --output-file infra/requirements-$$tool.txt || exit; \
	done
	@$(if $(NODE),for folder in examples/node tests/interop; do \
	  (cd $$folder && npm update --package-lock-only --no-audit --no-fund --loglevel error) || exit; \
	done,echo "There is no Node.js here: both files package-lock.json stay as they are")

release: $(VENV)/.installed .venv-release/.installed ## Check, tag, and build it (VERSION=1.2.3, SIGNING_KEY=)
	@$(if $(VERSION),,echo "Name the version: make release VERSION=1.2.3" >&2; exit 2)
	@$(if $(SIGNING_KEY),test -r "$(SIGNING_KEY)" || { echo "SIGNING_KEY=$(SIGNING_KEY) cannot be read" >&2; exit 2; })
	@! git rev-parse --quiet --verify "refs/tags/v$(VERSION)" >/dev/null || { echo "v$(VERSION) has been released" >&2; exit 2; }
	@test -z "$$(git status --porcelain)" || { echo "Commit, ignore or remove these files first:" >&2; \
	  git status --short >&2; exit 2; }
	@.ci/run
	@.venv-release/bin/bump-my-version bump --new-version $(VERSION)
	@$(MAKE) --no-print-directory build
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	@cp build/telenor-token.zip $(RELEASE)/$(RELEASED).zip
	@# A requirements file does not say what needs what; of that it would warn.
	@PYTHONWARNINGS=ignore .venv-release/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file $(RELEASE)/$(RELEASED).cdx.json
	@$(PYTHON) -m infra.provenance $(VERSION) $(RELEASE)/$(RELEASED).zip $(RELEASE)/$(RELEASED).cdx.json \
	  $(if $(SIGNING_KEY),--key "$(SIGNING_KEY)")
	@cd $(RELEASE) && $(PYTHON) -c 'import hashlib, pathlib, sys; [print(hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest(), name, sep="  ") for name in sys.argv[1:]]' \
	  $(RELEASED).zip $(RELEASED).cdx.json $(RELEASED).provenance.json | tee SHA256SUMS

RELEASED = telenor-token-$(VERSION)
RELEASE := build/release

COMPILE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-* examples/node/node_modules tests/interop/node_modules infra/terraform/.terraform* .aws-sam build mutants .coverage .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# The pip of Python 3.11 takes three times as long as a new one, and an environment with a pip of its own seven seconds
# more.
PIP := .venv-pip/bin/python -m pip --disable-pip-version-check
.venv-pip/.installed: infra/requirements-pip.txt
	$(call check,$(PYTHON))
	@$(PYTHON) -m venv --clear $(@D)
	@$(PIP) install -qq --no-compile --no-deps --require-hashes -r $<
	@touch $@

# Each stamp is as new as its requirements, so that a second run installs nothing.
$(VENV)/.installed: requirements-dev.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

# Their pins exclude each other's, so each tool has an environment of its own.
.venv-sam/.installed: infra/requirements-sam.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

.venv-bench/.installed: infra/requirements-bench.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

.venv-django/.installed: infra/requirements-django.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

.venv-release/.installed: infra/requirements-release.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

.venv-checkov/.installed: infra/requirements-checkov.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

.venv-ministack/.installed: infra/requirements-ministack.txt | .venv-pip/.installed
	$(call install,$(PYTHON313))

.venv-runtime/.installed: infra/requirements-runtime.txt | .venv-pip/.installed
	$(call install,$(PYTHON313))

.venv-awscli/.installed: infra/requirements-awscli.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

$(CURDIR)/.venv-sam/bin/sam: .venv-sam/.installed

.venv-cli/.installed: infra/requirements-cli.txt | .venv-pip/.installed
	$(call install,$(PYTHON))

# From the checkout, so that a pull updates it. Nothing is downloaded: what builds it is in the lock file.
.venv-cli/bin/telenor-token: .venv-cli/.installed pyproject.toml
	@$(PIP) --python .venv-cli/bin/python install -qq --no-index --no-deps --no-build-isolation --editable .
	@touch $@

%/node_modules/.installed: %/package-lock.json
	@echo "Installing the locked packages into $(@D) ..."
	@cd $* && npm ci --no-audit --no-fund --loglevel error
	@touch $@

define check
	@test ! -L $(@D) || { echo "$(@D) is a link, and installing would empty what it leads to: remove the link first" >&2; exit 2; }
	@$(1) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
endef

define install
	$(call check,$(1))
	@$(1) -m venv --clear --without-pip $(@D)
	@echo "Installing the $$(grep -c '^[a-z].*==' $<) locked packages of $< into $(@D), once: half a minute or so ..." >&2
	@$(PIP) --python $(@D)/bin/python install -qq --no-compile --no-deps --require-hashes -r $<
	@touch $@
endef
