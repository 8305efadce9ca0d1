"""What is called from a shell: each module is one command, the same code as its script."""
