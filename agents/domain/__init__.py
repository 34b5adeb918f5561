"""Values of the product: frozen, valid once made, no input or output.

Kind, Pay, Place, Opportunity, Profile, Match, Draft, ScoutRequest, ScoutResult
InvalidValue (ValueError)   what was wrong with a value, in which field, and what is allowed
"""
