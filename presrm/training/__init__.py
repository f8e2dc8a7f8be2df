"""Training: lessons -> the next policy.

``objectives`` names what can be minimised, ``preference``, ``imitation`` and ``policy_gradient`` hold its members, pure
functions of log-probabilities. ``tokens`` turns lessons into ids, ``plan`` says which meet in an optimiser step,
``packed`` computes it; ``trainer`` makes M(t) from M(t-1), ``seed`` makes M1 from M0, and ``fitting`` is what both need
around a Trainer. Importing this package loads no torch.
"""
