"""How a text becomes a conversion: spoken, recorded while watchers listen, stored, and what is left behind removed."""
