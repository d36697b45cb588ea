"""What a person may want next, from the profile and the statistics of all people together.

``seen`` says what events tell, ``associations`` and ``statistics`` keep it, ``recommender`` finds
candidates, ``clues`` says what speaks for each, and ``mix`` learns what counts.
"""
