"""Operations: how the product is doing, who is told when it is not, and what operators can do.

`health.py` has the values and the one function that makes them; read it first. `survey.py` reads
what it needs, `rules.py` says what is wrong, `watch.py` tells the operators.
"""
