"""People: the records, and the rules of e-mail addresses and passwords."""
