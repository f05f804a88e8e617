"""How long a run takes: measured steps, and what follows from them."""
