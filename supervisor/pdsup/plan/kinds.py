"""The kinds of units and the roles of workers, as plans and statuses name them. Pure."""

from __future__ import annotations

from typing import Literal

Kind = Literal["worker", "router", "nginx", "service", "benchmark"]
Role = Literal["prefill", "decode", "agg"]
