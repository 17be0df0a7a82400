"""For trying out and developing only: demo data and `manage.py quickstart`."""
