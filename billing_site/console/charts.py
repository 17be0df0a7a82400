"""The two charts of the front page, as Chart.js reads them."""

import json
from typing import Any

from django.utils.translation import gettext_lazy as _

from credits.models import DailyTotal
from credits.money import DECIMALS

SERIES = {  # of DailyTotal: what it is called, and its colour in the chart
    "sold": (_("Sold"), "var(--color-primary-600)"),
    "granted": (_("Given"), "var(--color-primary-300)"),
    "spent": (_("Spent"), "var(--color-base-500)"),
    "expired": (_("Expired"), "var(--color-orange-500)"),
    "clawed_back": (_("Taken back"), "var(--color-red-500)"),
}
ABOVE = ("sold", "granted")  # the line; the others are below it

MONEY_COLORS = [
    "var(--color-primary-600)",
    "var(--color-base-400)",
    "var(--color-orange-500)",
    "var(--color-green-500)",
]

OPTIONS = {  # of Chart.js; unfold's own have neither legend nor numbers at the side
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "maxBarThickness": 16,
    "plugins": {"legend": {"align": "end", "labels": {"boxWidth": 10, "color": "#737b87"}}},
    "scales": {
        "x": {"grid": {"display": False}, "ticks": {"color": "#737b87", "maxTicksLimit": 8}},
        "y": {"grid": {"tickWidth": 0}, "ticks": {"color": "#737b87", "maxTicksLimit": 6}},
    },
}


def charts(days: list[DailyTotal]) -> dict[str, str]:
    """What templates/admin/index.html hands to Chart.js, in JSON."""
    return {
        "credits_chart": json.dumps(_credits_chart(days)),
        "money_chart": json.dumps(_money_chart(days)),
        "chart_options": json.dumps(OPTIONS),
    }


def _credits_chart(days: list[DailyTotal]) -> dict[str, Any]:
    """Credits that came above the line, and those that went below it."""
    series = []
    for name, (label, color) in SERIES.items():
        sign = 1 if name in ABOVE else -1
        series.append(
            {
                "label": str(label),
                "data": [sign * getattr(day, name) for day in days],
                "backgroundColor": color,
                "stack": "credits",
            }
        )
    return {"labels": _labels(days), "datasets": series}


def _money_chart(days: list[DailyTotal]) -> dict[str, Any]:
    """In whole units, because a chart cannot write money."""
    series = []
    for number, currency in enumerate(sorted({code for day in days for code in day.money})):
        units = 10 ** DECIMALS.get(currency, 2)
        series.append(
            {
                "label": currency.upper(),
                "data": [day.money.get(currency, 0) / units for day in days],
                "backgroundColor": MONEY_COLORS[number % len(MONEY_COLORS)],
            }
        )
    return {"labels": _labels(days), "datasets": series}


def _labels(days: list[DailyTotal]) -> list[str]:
    return [f"{day.day:%d %b}" for day in days]
