"""`{% load amounts %}`: money and credits in templates."""

from django import template

from credits import money

register = template.Library()
register.filter("money", money.money)  # {{ amount|money:currency }}
register.filter("signed", money.signed)  # {{ credits|signed }}
