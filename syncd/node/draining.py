"""Drain: the node goes on syncing and wants no new traffic, by the operator's word or because it stops."""

from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """asked: `syncd drain` was called. stopping: the node was told to end."""

    asked: bool = False
    stopping: bool = False

    @property
    def wanted(self) -> bool:
        """Whether new traffic is to go elsewhere."""
        return self.asked or self.stopping

    @property
    def reason(self) -> str:
        """Why; empty if traffic is welcome."""
        if self.stopping:
            return "draining: the node is stopping"
        return "draining: `syncd undrain` ends it" if self.asked else ""
