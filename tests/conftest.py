from __future__ import annotations

from hypothesis import HealthCheck, settings

# The machines that run this are shared and slow at times: speed is `make bench`'s matter.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
