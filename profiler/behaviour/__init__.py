"""Behaviour of the crowd: funnels, next steps and seasons as sums that workers can add up."""
