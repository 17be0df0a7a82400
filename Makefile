python := .venv/bin/python

.PHONY: check css test format

check:  ## what .ci/run checks without a database
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy billing_site credits generation
	.venv/bin/lint-imports
	$(python) manage.py makemigrations --check

format:
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

test:
	$(python) manage.py test

css:  ## after changing templates or billing_site/styles
	.venv/bin/tailwindcss --input billing_site/styles/site.css --output billing_site/static/site.css --minify
