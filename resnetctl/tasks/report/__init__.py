"""`report`: what a network is worth, in one command and one page."""
