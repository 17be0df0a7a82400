"""Staff at a browser, for tests: with the mouse, or with the keyboard alone."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing_site.accounts.models import User
from billing_site.sandbox import demo

FARTHEST = 150  # presses of the Tab key until somebody gives up


def hire(email: str, role: str) -> User:
    """A member of the staff in one of the groups that `migrate` fills."""
    user: User = demo.make(demo.Person(email, is_staff=True, role=role))
    return user


@dataclass
class Desk:
    """What somebody does in the admin; `clicks` counts what was pressed to get there."""

    page: Any
    by_keyboard: bool = False
    clicks: int = 0

    def signs_in(self, email: str, *, to: str = "/admin/") -> None:
        self.page.goto(f"/accounts/login/?next={to}")
        self.types("Email", email)
        self.types("Password", demo.PASSWORD)
        self.presses("Sign in", within="main")

    def looks_up(self, term: str) -> None:
        """The customer's page, from anywhere: a search that finds one leads there."""
        self.follows("Accounts", path="/admin/credits/account/")
        self.page.locator("#searchbar").fill(term)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/account/*/change/")
        self.clicks += 1

    def follows(self, name: str, *, path: str = "", exact: bool = True) -> None:
        links = self.page.get_by_role("link", name=name, exact=exact)
        links = links.and_(self.page.locator(f"[href*='{path}']")) if path else links
        self._activate(links.locator("visible=true").first)

    def follows_row(self, text: str) -> None:
        """The link of the row of a list that has this text."""
        row = self.page.locator("#result_list tbody tr").filter(has_text=text)
        self._activate(row.locator("a").first)

    def presses(self, name: str, *, within: str = "body") -> None:
        self._activate(self.page.locator(within).get_by_role("button", name=name, exact=True))

    def types(self, label: str, text: str) -> None:
        field = self._field(label)
        if not self.by_keyboard:
            field.fill(text)
            return
        self._reach(field)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def types_moment(self, label: str, moment: datetime) -> None:
        """Into the parts of a field with a calendar, as an American browser orders them."""
        field = self._field(label)
        if not self.by_keyboard:
            field.fill(f"{moment:%Y-%m-%dT%H:%M}")
            return
        self._reach(field)
        self.page.keyboard.type(f"{moment:%m%d%Y}")
        self.page.keyboard.press("ArrowRight")
        self.page.keyboard.type(f"{moment:%I%M%p}")

    def chooses(self, label: str, option: str) -> None:
        field = self._field(label)
        if self.by_keyboard:
            self._reach(field)
            self.page.keyboard.type(option)
        else:
            field.select_option(label=option)

    def _field(self, label: str) -> Any:
        """Labels of what is required end with a star."""
        return self.page.get_by_label(re.compile(rf"^\s*{re.escape(label)}\s*\*?\s*$"))

    def _activate(self, element: Any) -> None:
        self.clicks += 1
        if not self.by_keyboard:
            element.click()
            return
        self._reach(element)
        self.page.keyboard.press("Enter")
        self.page.wait_for_load_state()

    def _reach(self, element: Any) -> None:
        """Tabs until the element has the focus."""
        element.wait_for()
        for _press in range(FARTHEST):
            if element.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"The keyboard does not reach {element}.")
