"""What units there are: the words of a plan that a status has too. Pure."""

from __future__ import annotations

from typing import Literal

Kind = Literal["worker", "router", "nginx", "service", "benchmark"]
Role = Literal["prefill", "decode", "agg"]
