"""What the steps share: the module, and a story for each of its clients."""

from __future__ import annotations

import secrets as random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.e2e.story import Story
from infra.e2e.terraform.module import Client
from infra.local import telenor_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rich.console import Console

    from infra.e2e.emulator import Emulator
    from infra.e2e.terraform.module import Module
    from infra.local.telenor_sandbox import TelenorSandbox

DEFAULT_GRACE_SECONDS = 15

PLAIN, SCOPED, EXISTING, FOURTH = "broadband", "mobile", "iot", "fiber"
SCOPE = "incidents.read"

# Of each client its id and its secret, which no log may tell.
_APPS = {name: (f"app-of-{name}", random.token_hex(16)) for name in (PLAIN, SCOPED, EXISTING, FOURTH)}


def apps() -> dict[str, telenor_sandbox.Client]:
    """Return what Telenor knows of the clients."""
    scopes = frozenset({SCOPE, "incidents.write"})
    return {client_id: telenor_sandbox.Client(secret=secret, scopes=scopes) for client_id, secret in _APPS.values()}


def credentials(client: str) -> dict[str, str]:
    """Return what is put into a client's credentials secret."""
    client_id, client_secret = _APPS[client]
    return {"client_id": client_id, "client_secret": client_secret}


@dataclass(kw_only=True)
class Fleet:
    """The module, its clients, and what has been shown so far."""

    module: Module
    artifact: Path
    telenor: TelenorSandbox
    console: Console
    minted: list[str]
    stories: dict[str, Story] = field(default_factory=dict)
    shown: list[tuple[str, str]] = field(default_factory=list)
    trusted: list[tuple[str, str]] = field(default_factory=list)

    @property
    def emulator(self) -> Emulator:
        """Where it is deployed."""
        return self.module.emulator

    def show(self, step: str, evidence: str) -> None:
        """Note a claim that has held."""
        self.shown.append((step, evidence))
        self.console.print(f"{step}: {evidence}")

    def look(self) -> dict[str, Any]:
        """Read the module's outputs, begin a story for each new client and end those of the clients that are gone."""
        outputs = self.module.outputs
        for name in outputs["clients"]:
            client_id, client_secret = _APPS[name]
            self.stories[name] = Story(
                stack=Client.of(self.module, outputs, name),
                telenor=self.telenor,
                console=self.console,
                minted=self.minted,
                client_id=client_id,
                client_secret=client_secret,
                grace_seconds=self.module.variables["clients"][name].get("grace_seconds", DEFAULT_GRACE_SECONDS),
                # The module leaves a secret without a value.
                without_credentials="failed with ResourceNotFoundException",
                about=f" ({name})",
                shown=self.shown,
                trusted=self.trusted,
            )
        for name in self.stories.keys() - outputs["clients"].keys():
            del self.stories[name]
        return outputs

    def others(self, client: str) -> dict[str, Story]:
        """Return the stories of all clients but one."""
        return {name: story for name, story in self.stories.items() if name != client}

    def at_once(self, steps: Mapping[str, Callable[[Story], None]], *meanwhile: Callable[[], None]) -> None:
        """Tell a part of each client's story at the same time; they have nothing to do with each other."""
        with ThreadPoolExecutor(len(steps) + len(meanwhile)) as pool:
            told = [pool.submit(act) for act in meanwhile]
            told += [pool.submit(step, self.stories[name]) for name, step in steps.items()]
        for each in told:
            each.result()
