"""What dies, hangs or lies to us, and what arrives nevertheless: `python3 bootstrap.py faults`."""
