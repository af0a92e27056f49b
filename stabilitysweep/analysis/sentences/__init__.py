"""What was found, in words: the texts and tables that the terminal and the page share."""
