"""How a class-activation map comes about."""

from __future__ import annotations

from typing import Literal, TypeAlias

# `additive` splits the logit exactly over places, `hirescam` is gradient times activation.
CamMethod: TypeAlias = Literal["additive", "hirescam"]
