"""Training: preference pairs and labelled steps -> the next policy.

``loss``, ``plan`` and ``eft`` are pure, ``tokens`` turns pairs into ids, ``step_dpo`` makes M(t) from M(t-1), ``seed``
makes M1 from M0; ``fitting`` is what both need around a Trainer. Importing this package loads no torch.
"""
