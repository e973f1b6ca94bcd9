"""Storage: tables, the two engines behind one `Tx`, and named queries for each area."""
