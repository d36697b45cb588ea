"""What to offer to whom, learnt from feedback: a contextual bandit, off-policy estimates, uplift.

``policy`` decides, from the ``posterior`` of ``evidence`` by bounded ``exploration``; ``pending``
joins feedback to what was decided. ``offpolicy`` judges policies on a log, ``uplift`` and ``qini``
tell the effect of a treatment. docs/optimisation.md has the definitions.
"""
