# The line from nothing to a policy for all robots. `make` or `make help` says what there is.
#   PRESET=smoke|laptop|workstation   sizes (default laptop)      RUN=runs/NAME   run folder (default runs/PRESET)
#   ROBOT=a,b   only these robots                                 ARGS="..."      options for one stage
#               (a later target that is called without them makes that stage again)
#   SEED=1      another training seed, in runs/PRESET_seed_1; evaluated in the same episodes
#   POLICY=FILE.onnx   evaluate or benchmark this file instead of the run's (results in runs/evaluation)
# A finished stage is skipped while its inputs and configuration are the same, so every target may be repeated.

PRESET ?= laptop
SEED ?=
RUN ?= runs/$(PRESET)$(if $(SEED),_seed_$(SEED))
ROBOT ?=
POLICY ?=
ARGS ?=
PYTEST_ARGS ?=
# A test file's simulations are built once; some hold 3 GB. `make test PARALLEL=` runs one after the other.
# Files in the order of tests/conftest.py, the slow ones first, and not those with many tests.
PARALLEL ?= -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

PYTHON_BIN := .venv/bin/python
STAGE = $(PYTHON_BIN) -m pipeline $(1) --run $(RUN) --preset $(PRESET)
TRAIN = $(STAGE) $(if $(SEED),--seed $(SEED))
ROBOTS = $(if $(ROBOT),--embodiments $(ROBOT))
REPORT = $(PYTHON_BIN) -m pipeline report --preset $(PRESET)
FILE_OUT = runs/evaluation/$(subst /,_,$(patsubst ./%,%,$(basename $(POLICY))))
# COMPASS's size: 640 goals in every cell, on both routes.
BENCHMARK = --episodes 640 $(ROBOTS)
# An adopted base policy needs no teacher's data (pipeline/adopt.py).
BASE_MANIFEST := $(wildcard $(RUN)/pretrain_world_model/manifest.json)
ADOPTED := $(if $(BASE_MANIFEST),$(shell grep '^  "adopted": ' $(BASE_MANIFEST)))

ifneq ($(and $(ARGS),$(filter all smoke test,$(MAKECMDGOALS))),)
$(error ARGS needs the target of one stage, such as: make distill ARGS="...")
endif

ifneq ($(and $(POLICY),$(filter all report smoke test,$(MAKECMDGOALS))),)
$(error POLICY names one file to evaluate: make evaluate POLICY=FILE.onnx, or make benchmark; the line makes its own)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup all smoke test check gaits specialist scenes surroundings anticipation drives risk data pretrain specialists \
	record distill export evaluate benchmark report readme bench demo play hardness list clean test-gpu bench-gpu

help:
	@echo 'make demo         the shipped policy drives three robots through one office each: a page of films, three minutes'
	@echo 'make all          the whole line, sized for 2 h on two cores without a GPU; results in runs/laptop/report'
	@echo 'make smoke        the whole line at its smallest size, minutes'
	@echo 'make test         style, types, tests, and make smoke'
	@echo 'make specialist ROBOT=g1    one robot, reusing what is there'
	@echo 'Stages:           scenes surroundings anticipation drives risk data pretrain specialists record distill export evaluate report; gaits (weights are in the repository)'
	@echo 'make evaluate POLICY=FILE.onnx    one exported policy on its own; make benchmark: 640 goals in every cell, hours'
	@echo 'Also:             setup check ros lerobot faults robustness readme bench demo play hardness list clean'
	@echo 'With a GPU:       test-gpu bench-gpu'
	@sed -n 's/^#   /  /p' Makefile

setup: .venv/.setup-stamp
# The stamp of a .venv whose Python does not run, or is another one since an upgrade of the system, says nothing.
VERSION := $(shell .venv/bin/python -ISc 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BROKEN := $(if $(wildcard .venv/lib/python$(VERSION)/site-packages),,broken)
.PHONY: broken
.venv/.setup-stamp: requirements.txt requirements-dev.txt .ci/setup .ci/check_libraries.py $(BROKEN)
	@PYTHON='$(PYTHON)' TORCH='$(TORCH)' .ci/setup
	@touch $@

all: report

# --- stages, each after the one it reads -----------------------------------------------------------------------------
scenes: setup
	$(call TRAIN,make_scenes) $(if $(filter scenes,$(MAKECMDGOALS)),$(ARGS))
# Not for ROBOT alone: the network is everybody's, and a further robot must not make the base policy anew.
surroundings: scenes
	$(call TRAIN,record_surroundings) $(if $(filter surroundings,$(MAKECMDGOALS)),$(ARGS))
anticipation: surroundings
	$(call TRAIN,train_anticipation) $(if $(filter anticipation,$(MAKECMDGOALS)),$(ARGS))
# Only bodies on wheels slow down by it (docs/adr/0022-collision-risk.md).
drives: anticipation
	$(call TRAIN,record_drives) --embodiments tiago,stretch3 $(if $(filter drives,$(MAKECMDGOALS)),$(ARGS))
risk: drives
	$(call TRAIN,train_collision_risk) $(if $(filter risk,$(MAKECMDGOALS)),$(ARGS))
data: risk
	$(call TRAIN,collect_teacher) $(if $(filter data,$(MAKECMDGOALS)),$(ARGS))
pretrain: data
	$(call TRAIN,pretrain_world_model) $(if $(filter pretrain,$(MAKECMDGOALS)),$(ARGS))
specialists: $(if $(ADOPTED),scenes,pretrain)
	$(call TRAIN,train_specialist) $(ROBOTS) $(if $(filter specialists specialist,$(MAKECMDGOALS)),$(ARGS))
record: specialists
	$(call TRAIN,record_specialist) $(ROBOTS) $(if $(filter record,$(MAKECMDGOALS)),$(ARGS))
distill: record
	$(call TRAIN,distill_generalist) $(if $(filter distill,$(MAKECMDGOALS)),$(ARGS))
export: distill
	$(call TRAIN,export_policy) $(if $(filter export,$(MAKECMDGOALS)),$(ARGS))
ifeq ($(POLICY),)
evaluate: export
	$(call STAGE,evaluate_policy) $(ROBOTS) $(if $(filter evaluate,$(MAKECMDGOALS)),$(ARGS))
benchmark: export
	$(call STAGE,evaluate_policy) --out $(RUN)/benchmark --agents base,specialist,generalist $(BENCHMARK) $(ARGS)
	$(call STAGE,evaluate_policy) --out $(RUN)/benchmark_classical --agents go_straight,planner,mppi,teacher $(ROBOTS) $(ARGS)
	$(REPORT) --evaluation $(RUN)/benchmark --out $(RUN)/benchmark_report
else
evaluate: setup
	$(PYTHON_BIN) -m pipeline evaluate_policy --preset $(PRESET) --policy $(POLICY) --out $(FILE_OUT) $(ROBOTS) $(ARGS)
	$(REPORT) --evaluation $(FILE_OUT) --out $(FILE_OUT)-report
benchmark: setup
	$(PYTHON_BIN) -m pipeline evaluate_policy --preset $(PRESET) --policy $(POLICY) --out $(FILE_OUT)-benchmark \
		$(BENCHMARK) $(ARGS)
	$(REPORT) --evaluation $(FILE_OUT)-benchmark --out $(FILE_OUT)-benchmark-report
endif
report: evaluate
	$(call STAGE,report) $(if $(filter report,$(MAKECMDGOALS)),$(ARGS))

# How much of the generalist's success is left when something is wrong; by itself, for it takes 4,352 episodes per robot:
# about an hour of one core for G1.
.PHONY: robustness
robustness: export
	$(PYTHON_BIN) -m pipeline evaluate_robustness --policy $(RUN)/export_policy/generalist.onnx --preset $(PRESET) \
		--out $(RUN)/evaluate_robustness $(ROBOTS) $(ARGS)

specialist:
	@test -n '$(ROBOT)' || { echo 'error: say which robot: make specialist ROBOT=g1' >&2; exit 2; }
	@$(MAKE) --no-print-directory specialists PRESET='$(PRESET)' RUN='$(RUN)' ROBOT='$(ROBOT)' ARGS='$(ARGS)'

gaits: setup
	$(PYTHON_BIN) -m pipeline train_gait $(ROBOTS) $(ARGS)

# --- checks ------------------------------------------------------------------------------------------------------------
# Always from nothing: it tests the code, which the run folder's keys do not cover.
smoke: setup
	rm -rf runs/smoke
	@$(MAKE) --no-print-directory all PRESET=smoke RUN=runs/smoke ROBOT= SEED= POLICY= ARGS=

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Kills, bit flips, failing file operations, the robot's faults and hostile input, as a table in docs/reliability.md.
# Needs a C compiler. `make test` does the same with few of each.
.PHONY: faults
faults: setup
	$(PYTHON_BIN) -m tests.faults --out docs/reliability.md $(ARGS)

# rclpy from PyPI, for the tests of the ROS 2 adapter; they call it, too, and are skipped where it cannot be had.
.PHONY: ros
ros:
	@.ci/setup_ros

# lerobot, for `export_lerobot` and its tests.
.PHONY: lerobot
lerobot: setup
	@.ci/setup_lerobot

test: check
	$(PYTHON_BIN) -m pytest -q $(PARALLEL) $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory smoke

# What `make test` neither runs nor counts. Without a GPU it says so and fails.
test-gpu: setup
	@$(PYTHON_BIN) -c 'import sys, torch; torch.cuda.is_available() or sys.exit("error: no GPU, or a torch without CUDA; see docs/gpu_and_clusters.md")'
	$(PYTHON_BIN) -m pytest -q tests/gpu $(PYTEST_ARGS)

# Made for ten minutes of a GPU: all parts have time limits, and the file is written anew after each.
bench-gpu: setup
	@$(PYTHON_BIN) -m pipeline bench_gpu $(ARGS)

# --- to look at things ---------------------------------------------------------------------------------------------------
readme: setup
	@$(PYTHON_BIN) -m pipeline fill_readme

bench demo play hardness list: setup
	@$(PYTHON_BIN) -m pipeline $@ $(ARGS)

clean:
	rm -rf runs/smoke .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
