"""A person at a browser: signs in, goes to pages, and hears what the console complains about."""

from __future__ import annotations

from typing import Any

from tests.live import Live


class Person:
    """One window of one person. `complaints` are errors of its console, breaches of the security policy among them."""

    def __init__(self, window: Any, live: Live, username: str):
        self.window, self.live, self.username = window, live, username
        self.complaints: list[str] = []
        self.page = window.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if username:
            self.sign_in()

    def _heard(self, message: Any) -> None:
        # A page that is refused with a status of its own is no complaint: the browser tells of the status alone.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def sign_in(self) -> None:
        """By the form, without the mouse."""
        self.go("/sign-in")
        self.page.get_by_label("User name").fill(self.username)
        self.page.get_by_label("Password").fill(self.live.accounts[self.username]["password"])
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def go(self, path: str) -> Any:
        """To a page of the server's; its answer."""
        return self.page.goto(f"{self.live.url}{path}" if path.startswith("/") else path)

    def flaws(self) -> list[str]:
        """What is wrong with the page: what axe calls serious or critical, and sideways scrolling."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        told = [
            f"{each['id']}: {each['help']} ({'; '.join(str(node['target'][0]) for node in each['nodes'][:3])})"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        wider = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return told + ([f"it is {wider} px wider than the window"] if wider > 0 else [])
