"""From a configuration to objects, and from objects to a run that has come to its end."""
