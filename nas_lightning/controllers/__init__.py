"""What proposes architectures."""
