"""What `look.py` needs to look at a page: a browser, and what it measures there."""
