"""What `scripts/bench` is made of: programs, what they are set up with, what is asked of them, and the tables."""
