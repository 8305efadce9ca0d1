"""What can be searched: spaces of architectures and the child networks they stand for."""
