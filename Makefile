# Two commands: `make demo` shows what Remit does, `make test` proves it. Both set up everything they need in .venv.
.PHONY: demo test backends check format lock clean

UV = UV_PYTHON_DOWNLOADS=never .bootstrap/bin/uv
RUN = .venv/bin

demo: .venv/.ready
	$(RUN)/remit demo

# Compiled beforehand: the tests start hundreds of processes.
test: check tests/node/node_modules/.ready
	$(RUN)/python -m compileall -q benchmarks connectors gateway orchestrator tests -x node_modules
	$(RUN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

# Real systems behind the tools, on a Debian machine as root: installed, started on loopback, and asked for all they owe.
backends: .venv/.ready
	tests/backends/install
	REMIT_BACKENDS=required $(RUN)/pytest tests/backends -n 2

check: .venv/.ready
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy -n 2
	$(RUN)/lint-imports
	$(RUN)/deptry .

format: .venv/.ready
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

lock: .bootstrap/bin/uv
	$(UV) lock --upgrade

clean:
	rm -rf .venv .bootstrap .remit tests/node/node_modules

.venv/.ready: pyproject.toml uv.lock .bootstrap/bin/uv
	$(UV) sync --locked --quiet --compile-bytecode --python "$$(command -v python3)"
	touch $@

.bootstrap/bin/uv:
	python3 -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Remit needs Python 3.11 or newer")'
	python3 -m venv .bootstrap
	.bootstrap/bin/pip install --quiet 'uv==0.13.9'

# The real clients that the tests drive need Node; where there is none, those tests say that they are skipped.
tests/node/node_modules/.ready: tests/node/package-lock.json
	if command -v npm > /dev/null; then npm ci --prefix tests/node --no-fund --no-audit --silent; fi
	mkdir -p tests/node/node_modules
	touch $@
