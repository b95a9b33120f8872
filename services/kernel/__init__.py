"""Words that all services share; needs nothing but the standard library."""
