"""What of this machine a run uses: its device, its precision and its threads."""
