"""How architectures are judged."""
