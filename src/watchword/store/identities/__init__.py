"""Machine identities in the database: the rows, pages of them, and the reports on unused and expiring ones."""
