"""Evaluation on any data set: metrics, protocols and baselines; docs/evaluation.md says how."""
